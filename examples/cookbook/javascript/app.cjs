const { MikroORM, defineEntity, p } = require('@mikro-orm/sqlite')
const Fastify = require('fastify')
const { default: contextOrm, em } = require('fastify-context-orm')

const Book = defineEntity({
  name: 'Book',
  properties: { id: p.integer().primary(), title: p.string().unique() }
})

async function openDatabase () {
  const orm = await MikroORM.init({ entities: [Book], dbName: process.env.BOOKS ?? ':memory:' })
  await orm.schema.update({ safe: true })
  return orm
}

const app = Fastify()
app.register(contextOrm, { orm: openDatabase })

// a plugin of its own: without await, the context's plugin would load after the routes
app.register(async app => {
  app.get('/books', async () => await em().find(Book, {}))
  app.post('/books', async request => em().create(Book, { title: request.body.title }))
})

process.once('SIGTERM', () => app.close())
app.listen({ port: Number(process.env.PORT ?? 3000), host: '127.0.0.1' }).then(console.log)

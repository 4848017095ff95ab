// @ts-check
import { MikroORM, defineEntity, p } from '@mikro-orm/sqlite'
import Fastify from 'fastify'
import contextOrm, { em } from 'fastify-context-orm'

const Book = defineEntity({
  name: 'Book',
  properties: { id: p.integer().primary(), title: p.string().unique() }
})

const orm = await MikroORM.init({ entities: [Book], dbName: process.env.BOOKS ?? ':memory:' })
await orm.schema.update({ safe: true })

const app = Fastify()
await app.register(contextOrm, { orm: () => orm })

app.get('/books', async () => await em().find(Book, {}))
app.post('/books', async request => {
  const { title } = /** @type {{ title: string }} */ (request.body)
  return em().create(Book, { title })
})

process.once('SIGTERM', () => app.close())
console.log(await app.listen({ port: Number(process.env.PORT ?? 3000), host: '127.0.0.1' }))

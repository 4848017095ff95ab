import { em } from '../../index.ts'
import { Book, onEveryEngine } from '../support/databases.ts'
import { startServer } from '../support/server.ts'

/** In every way there is: three flushes, a native update, a query builder and raw SQL. */
async function writeALot (): Promise<void> {
  for (const title of ['Emma', 'Persuasion', 'Ulysses']) {
    em().create(Book, { title })
    await em().flush()
  }
  await em().nativeUpdate(Book, { title: 'Emma' }, { stock: 9 })
  const sql = em() as any
  await sql.createQueryBuilder(Book).insert({ title: 'Dubliners' }).execute()
  await sql.execute("insert into book (title) values ('Evelina')")
  await sql.getKysely().insertInto('book').values({ title: 'Cecilia' }).execute()
}

onEveryEngine('a reply with an error status writes nothing', async (t, { orm, titles, taken }) => {
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async (_request, reply) => {
      await writeALot()
      return reply.code(409).send({ message: 'no' })
    })
  })
  const response = await post('/')
  t.equal(response.status, 409)
  t.strictSame(await response.json(), { message: 'no' })
  t.strictSame(await titles(), [])
  t.equal(taken(), 0)
})

onEveryEngine('an entity that is replied with an error status is not even flushed', async (t, { orm, sent }) => {
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async (_request, reply) => reply.code(422).send(em().create(Book, { title: 'Emma' })))
  })
  t.equal((await post('/')).status, 422)
  t.strictSame(sent, [])
})

onEveryEngine('a throw writes nothing, wherever it happens', async (t, { orm, titles, taken }) => {
  const fail = async (): Promise<never> => {
    await writeALot()
    throw new Error('no')
  }
  const { post } = await startServer(t, { orm }, app => {
    app.post('/handler', fail)
    app.post('/preHandler', { preHandler: fail }, async () => 'ok')
    app.post('/preValidation', { preValidation: fail }, async () => 'ok')
    app.post('/preSerialization', { preSerialization: fail }, async () => ({}))
    app.post('/onSend', { onSend: fail }, async () => 'ok')
    app.post('/serialization', async () => {
      await writeALot()
      return { toJSON () { throw new Error('no') } }
    })
    app.post('/validation', { preValidation: writeALot, schema: { body: { type: 'object', required: ['title'] } } }, async () => 'ok')
    app.post('/response-schema', { schema: { response: { 200: { type: 'object', required: ['id'], properties: { id: { type: 'integer' } } } } } }, async () => {
      await writeALot()
      return {}
    })
  })
  for (const path of ['/handler', '/preHandler', '/preValidation', '/preSerialization', '/onSend', '/serialization', '/validation', '/response-schema']) {
    const response = await post(path)
    t.equal(response.status, path === '/validation' ? 400 : 500, path)
    t.strictSame(await titles(), [], path)
    t.equal(taken(), 0, path)
  }
})

onEveryEngine('an error handler may reply with 200, and nothing is written all the same', async (t, { orm, titles }) => {
  let error: unknown
  const { post } = await startServer(t, { orm }, app => {
    app.setErrorHandler((caught, _request, reply) => {
      error = caught
      return reply.code(200).send({ message: 'never mind' })
    })
    app.post('/', async () => {
      await writeALot()
      throw new Error('no')
    })
  })
  const response = await post('/')
  t.equal(response.status, 200)
  t.match(error, { message: 'no' })
  t.strictSame(await titles(), [])
})

onEveryEngine('the rollback comes before the error handler', async (t, { orm, taken, observe }) => {
  let seen: unknown
  const { post } = await startServer(t, { orm }, app => {
    app.setErrorHandler(async (_error, _request, reply) => {
      seen = { taken: taken(), rows: (await observe('select 1 from book')).length }
      return reply.code(500).send()
    })
    app.post('/', async () => {
      await writeALot()
      throw new Error('no')
    })
  })
  await post('/')
  t.strictSame(seen, { taken: 0, rows: 0 })
})

onEveryEngine('statements that are still queued when the request fails are not run', async (t, { orm, titles, taken, sent }) => {
  const { get, app } = await startServer(t, { orm }, app => {
    app.get('/', async () => {
      await em().insert(Book, { title: 'Emma' })
      await Promise.all([
        em().insert(Book, { title: 'Emma' }),
        ...Array.from({ length: 20 }, (_, i) => em().insert(Book, { title: `queued ${i}` }))
      ])
    })
  })
  t.equal((await get('/')).status, 409)
  await app.close()
  t.strictSame(await titles(), [])
  t.equal(taken(), 0)
  t.equal(sent.at(-1), 'rollback')
})

onEveryEngine('shouldCommit decides for the plugin and for a route', async (t, { orm, titles }) => {
  const { post } = await startServer(t, { orm, shouldCommit: request => request.headers['x-dry-run'] === undefined }, app => {
    app.post('/', async (_request, reply) => reply.code(202).send(em().create(Book, { title: 'Emma' })))
    app.post('/error', async (_request, reply) => {
      await em().insert(Book, { title: 'Persuasion' })
      return reply.code(404).send({})
    })
    app.post('/never', { config: { orm: { shouldCommit: async () => false } } }, async () => em().create(Book, { title: 'Ulysses' }))
    app.post('/nothing', { config: { orm: { shouldCommit: (() => {}) as any } } }, async () => em().create(Book, { title: 'Evelina' }))
    app.post('/broken', { config: { orm: { shouldCommit: () => { throw new Error('broken') } } } }, async () => em().create(Book, { title: 'Dubliners' }))
    app.addHook('onRequest', async request => { if (request.url === '/') request.headers['x-dry-run'] = '1' })
  })
  const dryRun = await post('/')
  t.match(await dryRun.json(), { id: Number, title: 'Emma' }, 'a dry run has the id that it would have had')
  t.strictSame(await titles(), [])
  t.equal((await post('/error')).status, 404)
  t.strictSame(await titles(), ['Persuasion'])
  t.match(await (await post('/never')).json(), { title: 'Ulysses' })
  t.match(await (await post('/broken')).json(), { message: 'broken', statusCode: 500 })
  t.match(await (await post('/nothing')).json(), { code: 'FST_ORM_BAD_OPTION', message: /"shouldCommit" takes a function that returns true or false, got one that returned undefined/ })
  t.strictSame(await titles(), ['Persuasion'])
})

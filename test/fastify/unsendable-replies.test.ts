import { createReadStream } from 'node:fs'
import { once } from 'node:events'
import { Readable } from 'node:stream'
import { em } from '../../index.ts'
import { Book, onEachDatabase, onEachPool } from '../support/databases.ts'
import { NEEDS_HANDLER_TIMEOUT, NEEDS_HEADER_ERRORS } from '../support/fastify-features.ts'
import { lockBooks } from '../support/locked-books.ts'
import { isBlocked, untilOne } from '../support/server-connections.ts'
import { startServer } from '../support/server.ts'

onEachDatabase('a reply that Fastify would refuse to send after the hooks is not committed', async (t, { orm, titles, taken }) => {
  const { post } = await startServer(t, { orm }, app => {
    const write = { preHandler: async () => { await em().insert(Book, { title: 'Emma' }) } }
    app.post('/header', write, async (_request, reply) => reply.header('x-title', 'Emma\nPersuasion').send('ok'))
    app.post('/headers', write, async (_request, reply) => reply.header('set-cookie', ['a=b', 'c=d\n']).send({ ok: true }))
    app.post('/object', write, async (_request, reply) => reply.type('text/plain').send({ ok: true }))
    app.post('/number', { ...write, onSend: async () => 5 as any }, async () => 'ok')
    app.post('/used', write, async () => {
      const response = new Response('ok')
      await response.text()
      return response
    })
    app.post('/locked', write, async () => {
      const stream = new Response('ok').body!
      stream.getReader()
      return stream
    })
    app.post('/failed', write, async () => {
      const stream = Readable.from([])
      stream.on('error', () => {}).destroy(new Error('no'))
      await once(stream, 'close')
      return stream
    })
  })
  for (const path of ['/header', '/headers', '/object', '/number', '/used', '/locked', '/failed']) {
    t.equal((await post(path)).status, 500, path)
    t.strictSame(await titles(), [], path)
    t.equal(taken(), 0, path)
  }
})

onEachDatabase('one to a request that has only read is an error, too', async (t, { orm, taken }) => {
  const { get } = await startServer(t, { orm }, app => {
    const read = { preHandler: async () => { await em().count(Book) } }
    app.get('/header', read, async (_request, reply) => reply.header('x-title', 'Emma\nPersuasion').send('ok'))
    app.get('/object', read, async (_request, reply) => reply.type('text/plain').send({ ok: true }))
    app.get('/well', read, async () => 'ok')
  })
  for (const [path, status] of [['/header', 500], ['/object', 500], ['/well', 200]] as const) {
    t.equal((await get(path)).status, status, path)
    t.equal(taken(), 0, path)
  }
}, NEEDS_HEADER_ERRORS)

onEachDatabase('the status of a web Response counts', async (t, { orm, titles }) => {
  const { post } = await startServer(t, { orm }, app => {
    app.post('/:status', async request => {
      const { status } = request.params as { status: string }
      await em().insert(Book, { title: status })
      return new Response('done', { status: Number(status), headers: { 'x-title': status } })
    })
  })
  for (const status of [201, 409]) {
    const response = await post(`/${status}`)
    t.equal(response.status, status)
    t.equal(response.headers.get('x-title'), String(status))
  }
  t.strictSame(await titles(), ['201'])
})

onEachDatabase('a file that does not exist does no harm to the process', async (t, { orm, taken }) => {
  const { post, get } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      em().create(Book, { title: 'Emma' })
      return createReadStream('/no/such/file')
    })
    app.get('/', async () => 'ok')
  })
  await post('/').then(response => t.equal(response.status, 500), error => t.match(error.cause.code, /UND_ERR_SOCKET/))
  t.equal((await get('/')).status, 200)
  t.equal(taken(), 0)
})

onEachPool('a stream that fails before the commit is not committed', async (t, database) => {
  const { orm, titles } = database
  const stream = new Readable({ read () {} })
  const unlock = await lockBooks(database)
  const { get } = await startServer(t, { orm }, app => {
    app.get('/', async () => {
      em().create(Book, { title: 'Emma' })
      return stream
    })
  })
  const response = get('/')
  await untilOne(database, isBlocked)
  stream.destroy(new Error('no'))
  await unlock()
  t.match(await (await response).json(), { statusCode: 500, message: 'no' })
  t.strictSame(await titles(), [])
})

onEachPool('a handler that replies during the rollback of its handlerTimeout does no harm to the process', async (t, { orm, titles }) => {
  const rollingBack = Promise.withResolvers<void>()
  const replied = Promise.withResolvers<unknown>()
  orm.em.getEventManager().registerSubscriber({
    async beforeTransactionRollback () {
      rollingBack.resolve()
      await replied.promise
    }
  })
  const { get } = await startServer(t, { orm }, app => {
    app.get('/', { handlerTimeout: 100 }, (_request, reply) => {
      em().insert(Book, { title: 'Emma' }).then(() => rollingBack.promise).then(() => reply.send('late')).then(replied.resolve, replied.resolve)
    })
  })
  t.equal((await get('/')).status, 503)
  t.notMatch(await replied.promise, Error)
  t.strictSame(await titles(), [])
}, NEEDS_HANDLER_TIMEOUT)

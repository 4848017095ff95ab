import type { SqlEntityManager } from '@mikro-orm/sql'
import { PassThrough, Readable } from 'node:stream'
import { beforeCommit, em, runInContext } from '../../index.ts'
import { Book, onEachDatabase, onPostgres } from '../support/databases.ts'
import { NEEDS_HANDLER_TIMEOUT } from '../support/fastify-features.ts'
import { startServer } from '../support/server.ts'
import { watchStrayErrors } from '../support/stray-errors.ts'
import { until } from '../support/until.ts'
import { startServers } from '../support/ways-to-send.ts'

const raw = (): SqlEntityManager => em() as unknown as SqlEntityManager

async function * titlesOf (books: AsyncIterable<{ title: string }> | Iterable<{ title: string }>): AsyncGenerator<string> {
  for await (const { title } of books) yield `${title},`
}

onEachDatabase('a stream that fails after the commit, before its first byte, breaks the connection', async (t, { orm, titles, taken }) => {
  const assertNoStrayErrors = watchStrayErrors(t)
  const streams: Array<(error: Error) => void> = []
  let written = 0
  const servers = await startServers(t, { orm }, app => {
    app.setErrorHandler(async () => 'an error handler would hide it')
    app.addHook('preHandler', async () => { await em().insert(Book, { title: `book ${++written}` }) })
    app.get('/node', async () => {
      const stream = new PassThrough()
      streams.push(error => stream.destroy(error))
      return stream
    })
    app.get('/web', async () => new ReadableStream({ start (controller) { streams.push(error => controller.error(error)) } }))
    app.get('/timeout', { handlerTimeout: 1000 }, async () => {
      const stream = new PassThrough()
      streams.push(error => stream.destroy(error))
      return stream
    })
  })
  let count = 0
  for (const { name, send, log } of servers) {
    for (const path of ['/node', '/web', '/timeout']) {
      const before = (await titles()).length
      const reply = t.rejects(send(path), `${path}, ${name}`)
      await until(async () => (await titles()).length > before)
      await new Promise(resolve => setImmediate(resolve))
      streams.pop()!(new Error(`failed ${++count}`))
      await reply
      t.match(log.at(-1), { level: 50, msg: `GET ${path}: the reply has failed after the commit, and its connection was broken`, err: { message: `failed ${count}` } })
    }
  }
  t.equal((await titles()).length, 9)
  t.equal(taken(), 0)
  await assertNoStrayErrors()
})

onEachDatabase('so does a handlerTimeout that is over by then', async (t, { orm, titles, taken }) => {
  const assertNoStrayErrors = watchStrayErrors(t)
  let written = 0
  const servers = await startServers(t, { orm }, app => {
    app.get('/', { handlerTimeout: 500 }, async () => {
      await em().insert(Book, { title: `book ${++written}` })
      return new PassThrough()
    })
  })
  for (const { name, send } of servers) await t.rejects(send('/'), name)
  t.equal((await titles()).length, 3)
  t.equal(taken(), 0)
  await assertNoStrayErrors()
}, NEEDS_HANDLER_TIMEOUT)

for (const [ending, status] of [['commit', 200], ['rollback', 404]] as const) {
  onEachDatabase(`nor does a stream go on for ever whose handlerTimeout is over during the ${ending}`, async (t, { orm, titles, taken }) => {
    const assertNoStrayErrors = watchStrayErrors(t)
    let timedOut = Promise.withResolvers<void>()
    orm.em.getEventManager().registerSubscriber({
      beforeTransactionCommit: async () => await timedOut.promise,
      beforeTransactionRollback: async () => await timedOut.promise
    })
    const servers = await startServers(t, { orm }, app => {
      app.get('/', { handlerTimeout: 500 }, async (request, reply) => {
        request.signal.addEventListener('abort', () => setImmediate(timedOut.resolve))
        await em().insert(Book, { title: 'Emma' })
        return reply.code(status).send(new PassThrough())
      })
    })
    for (const { name, send, log } of servers) {
      timedOut = Promise.withResolvers()
      await orm.em.fork().nativeDelete(Book, {})
      if (ending === 'commit') {
        await t.rejects(send('/'), name)
        t.match(log.splice(0), [{ level: 50, msg: 'GET /: the reply has failed after the commit, and its connection was broken', err: { code: 'FST_ERR_HANDLER_TIMEOUT' } }], name)
        t.strictSame(await titles(), ['Emma'])
      } else {
        t.equal((await send('/')).status, 503, name)
        t.strictSame(await titles(), [])
      }
    }
    t.equal(taken(), 0)
    await assertNoStrayErrors()
  }, NEEDS_HANDLER_TIMEOUT)
}

onEachDatabase('where nothing was written, it is an error like any other', async (t, { orm }) => {
  const { get } = await startServer(t, { orm }, app => {
    const fail = (): Readable => {
      const stream = new PassThrough()
      setTimeout(() => stream.destroy(new Error('no')), 200)
      return stream
    }
    app.get('/read', async () => {
      await em().count(Book)
      return fail()
    })
    app.get('/read-only', { config: { orm: { transaction: 'on-query', readOnly: true } } }, async () => {
      await em().count(Book)
      return fail()
    })
    app.get('/status', async (_request, reply) => {
      await em().insert(Book, { title: 'Emma' })
      return reply.code(404).send(fail())
    })
  })
  for (const path of ['/read', '/read-only', '/status']) t.match(await (await get(path)).json(), { message: 'no' }, path)
})

onEachDatabase('a table is streamed after the commit, whatever its generator has done before', async (t, { orm, sent, titles, taken }) => {
  const { get } = await startServer(t, { orm }, app => {
    async function * found (): AsyncGenerator<string> {
      yield * titlesOf(await em().find(Book, {}))
      yield * titlesOf(em().stream(Book))
    }
    async function * counted (): AsyncGenerator<string> {
      await em().count(Book)
      yield * titlesOf(em().stream(Book))
    }
    app.addHook('preHandler', async request => { em().create(Book, { title: request.url }) })
    app.get('/stream', async () => Readable.from(titlesOf(em().stream(Book))))
    app.get('/web', async () => ReadableStream.from(titlesOf(em().stream(Book))))
    app.get('/found', async () => Readable.from(found()))
    app.get('/counted', async () => Readable.from(counted()))
  })
  let all = ''
  for (const path of ['/stream', '/web', '/found', '/counted']) {
    sent.length = 0
    all += `${path},`
    t.equal(await (await get(path)).text(), path === '/found' ? all + all : all, path)
    const statements = sent.map(sql => sql.split(' ')[0]!.toLowerCase())
    t.ok(statements.indexOf('commit') < statements.lastIndexOf('select'), path)
  }
  t.equal((await titles()).length, 4)
  await until(() => taken() === 0)
})

onEachDatabase('one that fails with its first row breaks the connection, and leaves the pool whole', async (t, { orm, titles, taken }) => {
  const servers = await startServers(t, { orm }, app => {
    app.get('/:id', async request => {
      await em().insert(Book, { title: (request.params as { id: string }).id })
      return Readable.from(titlesOf(raw().createQueryBuilder(Book).where('no_such_column = 1').stream() as any))
    })
  })
  for (const [index, { name, send }] of servers.entries()) {
    await t.rejects(send(`/${index}`), name)
    t.equal((await titles()).length, index + 1)
  }
  await until(() => taken() === 0)
})

onEachDatabase('a context inside the generator, or a transaction of its own, runs after the commit', async (t, { orm, titles, taken }) => {
  const { get } = await startServer(t, { orm }, app => {
    async function * branch (): AsyncGenerator<string> {
      yield String(await runInContext(async () => {
        await em().insert(Book, { title: 'inner' })
        return await em().count(Book)
      }))
    }
    async function * reading (): AsyncGenerator<string> {
      yield String(await runInContext(() => em().count(Book)))
    }
    async function * own (): AsyncGenerator<string> {
      yield String(await em().transactional(em => em.count(Book), { propagation: 'requires_new' as any }))
    }
    app.addHook('preHandler', async request => { em().create(Book, { title: request.url }) })
    app.get('/reading', async () => Readable.from(reading()))
    app.get('/branch', async () => Readable.from(branch()))
    app.get('/own', async () => Readable.from(own()))
  })
  for (const [path, count] of [['/reading', '1'], ['/branch', '3'], ['/own', '4']] as const) t.equal(await (await get(path)).text(), count, path)
  t.strictSame(await titles(), ['/branch', '/own', '/reading', 'inner'])
  t.equal(taken(), 0)
})

onEachDatabase('what runs before the commit does not wait for it', async (t, { orm, titles, taken }) => {
  const { get } = await startServer(t, { orm }, app => {
    app.get('/', async () => {
      em().create(Book, { title: 'Emma' })
      beforeCommit(async () => {
        for await (const { title } of em().stream(Book)) em().create(Book, { title: `${title}, again` })
      })
      return Readable.from(titlesOf(em().stream(Book)))
    })
  })
  t.equal(await (await get('/')).text(), 'Emma,Emma, again,')
  t.strictSame(await titles(), ['Emma', 'Emma, again'])
  await until(() => taken() === 0)
})

/** MikroORM has session contexts on PostgreSQL only. */
onPostgres('under a session context, a stream cannot be read after the commit, and nothing is written', async (t, { orm, titles, taken }) => {
  const { failure, get } = await startServer(t, { orm }, app => {
    app.get('/', async () => {
      em().setSessionContext({ variables: { 'app.tenant': 1 } })
      await em().insert(Book, { title: 'Emma' })
      return Readable.from(titlesOf(em().stream(Book)))
    })
  })
  t.match(await failure(get('/')), { statusCode: 500, code: 'FST_ORM_STREAM_OPEN' })
  t.strictSame(await titles(), [])
  t.equal(taken(), 0)
})

onEachDatabase('a stream that is the first to use the context reads until the response has closed', async (t, { orm }) => {
  const refused = Promise.withResolvers<unknown>()
  const { get } = await startServer(t, { orm }, app => {
    async function * late (closed: Promise<unknown>): AsyncGenerator<string> {
      yield String(await em().count(Book))
      closed.then(() => em().count(Book)).catch(refused.resolve)
    }
    app.get('/', async (_request, reply) => Readable.from(late(new Promise(resolve => reply.raw.on('close', () => setImmediate(resolve))))))
  })
  t.equal(await (await get('/')).text(), '0')
  t.match(await refused.promise, { code: 'FST_ORM_CONTEXT_ENDED', message: /^GET \/ has ended \(untouched\)/ })
})

onEachDatabase('an error handler may reply with a stream', async (t, { orm, titles }) => {
  const { get } = await startServer(t, { orm }, app => {
    app.setErrorHandler(async (_error, _request, reply) => reply.code(200).send(Readable.from(['sorry'])))
    app.get('/', async () => {
      await em().insert(Book, { title: 'Emma' })
      throw new Error('no')
    })
  })
  t.equal(await (await get('/')).text(), 'sorry')
  t.strictSame(await titles(), [])
})

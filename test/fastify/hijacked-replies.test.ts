import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import { commit, em, rollback, runInContext } from '../../index.ts'
import { runningContexts } from '../../lib/context/running-contexts.ts'
import { Book, onEachDatabase, onEachPool } from '../support/databases.ts'
import { isSleeping, untilOne } from '../support/server-connections.ts'
import { startServer } from '../support/server.ts'
import { until } from '../support/until.ts'

const WARNING = /the response has closed, and what was not committed is rolled back. After reply.hijack\(\), call commit\(\)/

onEachDatabase('a hijacked reply commits as often as its handler says, and holds no connection in between', async (t, { orm, titles, taken }) => {
  const { get, log } = await startServer(t, { orm }, app => {
    app.get('/shelves/:shelf', async (_request, reply) => {
      reply.hijack()
      for (const title of ['a', 'b']) {
        em().create(Book, { title })
        await commit()
        t.equal(taken(), 0)
        reply.raw.write((await titles()).join())
      }
      em().create(Book, { title: 'c' })
      await em().flush()
      reply.raw.end()
    })
  })
  t.equal(await (await get('/shelves/7')).text(), 'aa,b', 'each is committed before the client hears of it')
  await until(() => log.length > 0)
  t.match(log, [{ level: 40, msg: /^GET \/shelves\/:shelf: / }], 'the pattern of the route, and not the path of the request')
  t.match(log[0]!.msg, WARNING)
  await until(() => taken() === 0)
  t.strictSame(await titles(), ['a', 'b'])
})

onEachDatabase('nothing is said of a hijacked reply that has left nothing uncommitted', async (t, { orm, titles, taken }) => {
  const { get, log, app } = await startServer(t, { orm }, app => {
    app.get('/read', async (_request, reply) => {
      reply.hijack()
      reply.raw.end(String(await em().count(Book)))
    })
    app.get('/rollback', async (_request, reply) => {
      reply.hijack()
      await em().insert(Book, { title: 'regretted' })
      await rollback()
      reply.raw.end('ok')
    })
    app.get('/branch', async (_request, reply) => {
      reply.hijack()
      await runInContext(() => { em().create(Book, { title: 'of a branch' }) })
      reply.raw.end('ok')
    })
  })
  for (const path of ['/read', '/rollback', '/branch']) t.equal((await get(path)).status, 200)
  await app.close()
  t.strictSame(log, [])
  t.strictSame(await titles(), ['of a branch'])
  t.equal(taken(), 0)
})

onEachDatabase('an error after reply.hijack() reaches no hook, and its work is rolled back when the response closes', async (t, { orm, titles, taken }) => {
  const { get, log } = await startServer(t, { orm }, app => {
    app.addHook('onError', async () => { t.fail('must not run') })
    app.get('/', async (_request, reply) => {
      reply.hijack()
      try {
        await em().insert(Book, { title: 'half' })
        throw new Error('no')
      } finally {
        reply.raw.end('half')
      }
    })
  })
  t.equal(await (await get('/')).text(), 'half')
  await until(() => log.length === 2)
  t.match(log.find(({ level }) => level === 50), { err: { message: 'no' } })
  t.match(log.find(({ level }) => level === 40), { msg: WARNING })
  await until(() => taken() === 0)
  t.strictSame(await titles(), [])
})

for (const onAbort of ['rollback', 'commit'] as const) {
  onEachDatabase(`with onAbort: '${onAbort}', a client that leaves a hijacked reply takes back what is uncommitted, and needs no warning`, async (t, { orm, titles, taken }) => {
    const refused = Promise.withResolvers<unknown>()
    const { app, get, log } = await startServer(t, { orm, onAbort }, app => {
      app.get('/', async (_request, reply) => {
        reply.hijack()
        await em().insert(Book, { title: 'kept' })
        await commit()
        await em().insert(Book, { title: 'lost' })
        reply.raw.write('begun')
        await once(reply.raw, 'close')
        await em().insert(Book, { title: 'late' }).catch(refused.resolve)
      })
      app.get('/next', async () => em().count(Book))
    })
    const client = httpRequest(`${app.listeningOrigin}/`).end()
    const [response] = await once(client, 'response')
    await once(response, 'data')
    response.on('error', () => {})
    client.destroy()
    t.match(await refused.promise, { code: 'FST_ORM_CONTEXT_ENDED', message: /^GET \/ has ended \(rolledBack\)/ })
    t.equal(await (await get('/next')).text(), '1')
    t.strictSame(await titles(), ['kept'])
    t.equal(taken(), 0)
    t.strictSame(log, [])
  })
}

onEachPool('a client that leaves a hijacked reply cancels the statement that is running for it', async (t, database) => {
  const { orm, titles, taken, sleep } = database
  const cancelled = Promise.withResolvers<unknown>()
  const { app } = await startServer(t, { orm }, app => {
    app.get('/', async (_request, reply) => {
      reply.hijack()
      await em().insert(Book, { title: 'lost' })
      await (em() as any).execute(sleep()).catch(cancelled.resolve)
    })
  })
  const client = httpRequest(`${app.listeningOrigin}/`).on('error', () => {}).end()
  await untilOne(database, isSleeping)
  client.destroy()
  t.match(await cancelled.promise, { message: /canceling statement due to user request|Query execution was interrupted/ })
  await until(() => taken() === 0)
  t.strictSame(await titles(), [])
})

onEachDatabase('app.close() waits for a hijacked reply that ends', async (t, { orm, titles, taken }) => {
  const entered = Promise.withResolvers<void>()
  const leave = Promise.withResolvers<void>()
  const { app, get, log } = await startServer(t, { orm }, app => {
    app.get('/', async (_request, reply) => {
      reply.hijack()
      await em().insert(Book, { title: 'Emma' })
      entered.resolve()
      await leave.promise
      await commit()
      // as Fastify 5.12 says in replies of its own while it closes; or the socket would stay open, and app.close() wait
      reply.raw.setHeader('connection', 'close')
      reply.raw.end('done')
    })
  })
  const response = get('/')
  await entered.promise
  const closing = app.close()
  leave.resolve()
  t.equal(await (await response).text(), 'done')
  await closing
  t.strictSame(await titles(), ['Emma'])
  t.strictSame(log, [])
  t.equal(taken(), 0)
})

onEachDatabase('app.close() ends a hijacked reply that does not end', async (t, { orm, titles, taken }) => {
  const { app, get, log } = await startServer(t, { orm, closeTimeout: 300 }, app => {
    app.get('/', async (_request, reply) => {
      reply.hijack()
      await em().insert(Book, { title: 'lost' })
      reply.raw.write('begun')
    })
  })
  const response = await get('/')
  await Promise.all([t.rejects(response.text()), app.close()])
  t.match(log, [{ level: 40, msg: /^GET \/ was still running 300 ms after app\.close\(\)/ }])
  t.strictSame(await titles(), [])
  t.equal(taken(), 0)
})

onEachDatabase('with onAbort: \'commit\', a reply that is hijacked when its client has left already takes back what is uncommitted', async (t, { orm, titles, taken }) => {
  const reached = Promise.withResolvers<void>()
  const done = Promise.withResolvers<void>()
  const { app } = await startServer(t, { orm, onAbort: 'commit' }, app => {
    app.get('/', async (_request, reply) => {
      const gone = once(reply.raw, 'close')
      await em().insert(Book, { title: 'committed' })
      reached.resolve()
      await gone
      reply.hijack()
      await commit()
      await em().insert(Book, { title: 'not committed' })
      done.resolve()
    })
  })
  const client = httpRequest(`${app.listeningOrigin}/`).on('error', () => {}).end()
  await reached.promise
  client.destroy()
  await done.promise
  await until(() => taken() === 0 && runningContexts(() => true).length === 0)
  t.strictSame(await titles(), ['committed'])
})

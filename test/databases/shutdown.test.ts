import { once } from 'node:events'
import { afterCommit, em, runInContext } from '../../index.ts'
import { conflict } from '../support/conflict.ts'
import { Book, onEachDatabase, onEachPool } from '../support/databases.ts'
import { NEEDS_HANDLER_TIMEOUT } from '../support/fastify-features.ts'
import { untilNone } from '../support/server-connections.ts'
import { startServer } from '../support/server.ts'
import { until } from '../support/until.ts'

/** Kysely 0.29.6 never finishes closing a pool that is opening a connection at the moment. */
onEachPool('closing the app waits for what requests that have failed have left running', async (t, database) => {
  const { another, connections, observe, orm, sleep } = database
  const others = (await connections()).map(({ id }) => id)
  const { app, get } = await startServer(t, { orm: () => another() }, app => {
    app.get('/reads', async () => await Promise.all([em().count(Book), (em() as any).execute('select no_such_column')]))
    app.get('/write', { handlerTimeout: 100 }, async () => {
      await em().insert(Book, { title: 'Emma' })
      await (em() as any).execute(sleep(0.5))
    })
  })
  t.equal((await get('/reads')).status, 500)
  t.equal((await get('/write')).status, 503)
  await app.close()
  await untilNone(database, ({ id }) => !others.includes(id))
  t.strictSame(await observe('select title from book'), [])
  await orm.close()
}, NEEDS_HANDLER_TIMEOUT)

onEachDatabase('closing the app waits for requests and for jobs, and refuses new ones', async (t, { orm, another, titles }) => {
  const own = await another()
  const go = Promise.withResolvers<void>()
  const inHandler = Promise.withResolvers<void>()
  const started: Promise<unknown>[] = []
  const { app, get, log } = await startServer(t, { orm: () => own }, app => {
    app.get('/', async (_request, reply) => {
      reply.header('connection', 'close') // or Fastify waits for the client's next request
      em().create(Book, { title: 'request' })
      inHandler.resolve()
      await go.promise
      await runInContext(() => em().count(Book)) // what is running may open branches
      return { ok: true }
    })
  })
  const begin = (name: string): Promise<void> => new Promise(resolve => {
    started.push(runInContext({ orm: app.orm, name }, async () => {
      await em().count(Book)
      resolve()
      await go.promise
      em().create(Book, { title: name })
    }))
  })
  await begin('job')
  const response = get('/')
  await inHandler.promise
  const closing = app.close()
  await until(() => !app.server.listening)
  await t.rejects(runInContext({ orm: own }, () => {}), { code: 'FST_ORM_CLOSING', statusCode: 503, message: /^runInContext\(\) cannot begin/ })
  t.equal(await own.isConnected(), true)
  go.resolve()
  t.equal((await response).status, 200)
  await Promise.all(started)
  await closing
  t.equal(await own.isConnected(), false)
  t.strictSame(await titles(), ['job', 'request'])
  t.strictSame(log, [])
  await t.resolves(runInContext({ orm }, () => em().count(Book)), 'which is another MikroORM')
})

onEachPool('after closeTimeout, what is still running is aborted, and named', async (t, { orm, another, sleep, titles, taken }) => {
  const own = await another()
  const running = { job: Promise.withResolvers<void>(), request: Promise.withResolvers<void>() }
  const { app, get, log } = await startServer(t, { orm: () => own, closeTimeout: 100 }, app => {
    app.get('/slow', async () => {
      await em().insert(Book, { title: 'request' })
      running.request.resolve()
      await (em() as any).execute(sleep())
    })
  })
  const job = runInContext({ orm: app.orm, name: 'nightly' }, async () => {
    await em().insert(Book, { title: 'job' })
    running.job.resolve()
    await new Promise(() => {})
  })
  const failed = t.rejects(job, { code: 'FST_ORM_CLOSE_TIMEOUT', message: /^nightly was still running 100 ms after app\.close\(\)/ })
  const dropped = t.rejects(get('/slow'))
  await Promise.all([running.job.promise, running.request.promise])
  const warned = once(process, 'warning')
  const before = performance.now()
  await app.close()
  t.ok(performance.now() - before < 5000)
  await Promise.all([failed, dropped])
  t.match((await warned)[0], { name: 'FastifyContextOrmWarning', message: /^nightly was still running 100 ms after/ }, 'a job has no logger')
  t.match(log.filter(({ level }) => level === 40), [{ msg: /^GET \/slow was still running 100 ms after app\.close\(\), and was aborted/ }])
  t.strictSame(await titles(), [])
  t.equal(taken(), 0)
  await orm.close()
})

onEachDatabase('an app that closes leaves the work of another app on the same MikroORM alone', async (t, { orm, titles }) => {
  const first = await startServer(t, { orm, closeTimeout: 0 }, () => {})
  const go = Promise.withResolvers<void>()
  const written = Promise.withResolvers<void>()
  const second = await startServer(t, { orm }, app => {
    app.get('/', async () => {
      em().create(Book, { title: 'second' })
      written.resolve()
      await go.promise
      return { ok: true }
    })
  })
  const response = second.get('/')
  await written.promise
  await first.app.close()
  await runInContext({ orm }, () => { em().create(Book, { title: 'job' }) })
  go.resolve()
  t.equal((await response).status, 200)
  t.strictSame(await titles(), ['job', 'second'])
  await second.app.close()
  await runInContext({ orm }, () => { em().create(Book, { title: 'after' }) })
  t.strictSame(await titles(), ['after', 'job', 'second'], 'what was passed in is not closed, and serves others')
})

onEachDatabase('what a request has left behind begins nothing after its app has closed', async (t, { another }) => {
  const own = await another()
  const late = Promise.withResolvers<unknown>()
  const go = Promise.withResolvers<void>()
  const { app, get } = await startServer(t, { orm: () => own }, app => {
    app.get('/', async () => {
      go.promise.then(() => runInContext({ name: 'late' }, () => em().count(Book))).catch(late.resolve)
      return { ok: true }
    })
  })
  await get('/')
  await app.close()
  go.resolve()
  t.match(await late.promise, { code: 'FST_ORM_CLOSING', message: /^late cannot begin/ })
})

onEachPool('what does not even end when it is aborted keeps app.close() for no longer than a second more', async (t, { another, orm }) => {
  const own = await another()
  const stuck = Promise.withResolvers<void>()
  const afterwards = Promise.withResolvers<void>()
  t.teardown(afterwards.resolve)
  const { app } = await startServer(t, { orm: () => own, closeTimeout: 50 }, app => {
    app.get('/', async () => {
      await runInContext({ name: 'stuck' }, () => {
        afterCommit(() => {
          stuck.resolve()
          return afterwards.promise
        })
      })
    })
  })
  const late = app.inject('/')
  await stuck.promise
  const warnings: string[] = []
  const note = ({ message }: Error): void => { warnings.push(message) }
  process.on('warning', note)
  t.teardown(() => process.off('warning', note))
  const before = performance.now()
  await app.close()
  t.ok(performance.now() - before < 5000)
  await until(() => warnings.some(message => /^stuck is still running, and is not waited for any longer/.test(message)))
  afterwards.resolve()
  t.equal((await late).statusCode, 200, 'it is answered all the same')
  await orm.close()
})

onEachDatabase('closeTimeout: Infinity waits for as long as it takes', async (t, { another, titles }) => {
  const own = await another()
  const go = Promise.withResolvers<void>()
  const { app } = await startServer(t, { orm: () => own, closeTimeout: Infinity }, () => {})
  const job = runInContext({ orm: app.orm }, async () => {
    em().create(Book, { title: 'job' })
    await go.promise
  })
  const closing = app.close()
  await until(() => !app.server.listening)
  go.resolve()
  await Promise.all([job, closing])
  t.strictSame(await titles(), ['job'])
})

onEachDatabase('while the app is closing, a hook after the commit of what was running may still open a context', async (t, { another, titles }) => {
  const own = await another()
  const go = Promise.withResolvers<void>()
  const inHandler = Promise.withResolvers<void>()
  const { app, get } = await startServer(t, { orm: () => own }, app => {
    app.get('/', async (_request, reply) => {
      reply.header('connection', 'close')
      em().create(Book, { title: 'order' })
      afterCommit(() => runInContext(() => { em().create(Book, { title: 'outbox' }) }))
      inHandler.resolve()
      await go.promise
      return { ok: true }
    })
  })
  const response = get('/')
  await inHandler.promise
  const closing = app.close()
  await until(() => !app.server.listening)
  go.resolve()
  t.equal((await response).status, 200)
  await closing
  t.strictSame(await titles(), ['order', 'outbox'])
})

onEachPool('work with retry that runs for longer than closeTimeout is aborted once, and gets no other attempt', async (t, { orm, kind }) => {
  const { app, log } = await startServer(t, { orm, closeTimeout: 20 }, () => {})
  const began = Promise.withResolvers<void>()
  let runs = 0
  const job = runInContext({ orm, name: 'job', retry: { delay: () => 0 } }, async () => {
    if (++runs === 1) await conflict(kind)
    await em().insert(Book, { title: 'Emma' })
    began.resolve()
    await new Promise(() => {})
  })
  const aborted = t.rejects(job, { code: 'FST_ORM_CLOSE_TIMEOUT' })
  await began.promise
  await app.close()
  await aborted
  t.equal(runs, 2)
  t.strictSame(log, [])
})

onEachDatabase('a database that the app has closed is not opened again, one that was passed in is as it was', async (t, { another, orm }) => {
  const { app } = await startServer(t, { orm: () => another() }, () => {})
  const own = app.orm
  await app.close()
  await t.rejects(runInContext({ orm: own }, () => em().count(Book)), { code: 'FST_ORM_CLOSING', message: /has closed it/ })
  t.equal(await own.isConnected(), false)
  const { app: other } = await startServer(t, { orm }, () => {})
  await other.close()
  t.equal(await runInContext({ orm }, () => em().count(Book)), 0)
})

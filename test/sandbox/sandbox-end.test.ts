import { em, runInContext } from '../../index.ts'
import { createSandbox } from '../../testing.ts'
import { conflict } from '../support/conflict.ts'
import { Book, onEachPool, onEveryEngine, onSingleConnection, onSqlite } from '../support/databases.ts'
import { havingLittlePatience } from '../support/little-patience.ts'
import { isSleeping, untilOne } from '../support/server-connections.ts'
import { startServer } from '../support/server.ts'

onEveryEngine('a context that still runs when the sandbox ends is named, and so is what it does later', async (t, { orm, titles, taken }) => {
  const goOn = Promise.withResolvers<void>()
  const began = Promise.withResolvers<void>()
  const { app, log } = await startServer(t, { orm }, app => {
    app.post('/slow', async () => {
      await em().insert(Book, { title: 'early' })
      began.resolve()
      await goOn.promise
      await em().insert(Book, { title: 'late' })
    })
  })
  const sandbox = await createSandbox(orm)
  const reply = sandbox.run(() => app.inject({ method: 'POST', url: '/slow' }))
  await began.promise
  await t.rejects(sandbox.rollback(), { code: 'FST_ORM_SANDBOX_RUNNING', message: 'The sandbox was rolled back while this was still running in it: POST /slow. Await it before, or abort it' })
  t.equal(taken(), 0, 'the connection is back nevertheless')
  await sandbox.rollback()
  goOn.resolve()
  t.equal((await reply).statusCode, 500)
  t.match(log.at(-1)?.err?.message, /^POST \/slow comes too late: its sandbox has been rolled back/)
  t.strictSame(await titles(), [])

  const late = { code: 'FST_ORM_SANDBOX_ENDED' }
  await t.rejects(sandbox.run(() => {}), { ...late, message: /^sandbox\.run\(\) comes too late/ })
  await t.rejects(sandbox.em.insert(Book, { title: 'late' }), { ...late, message: /^sandbox\.em comes too late/ })
  await t.rejects(sandbox.em.count(Book), late)
  t.strictSame(await titles(), [])
})

onEveryEngine('what goes on inside of an ended sandbox never reaches the database', async (t, { orm, titles, taken }) => {
  const sandbox = await createSandbox(orm)
  await sandbox.run(async () => {
    await sandbox.rollback()
    const late: (() => Promise<unknown>)[] = [
      () => runInContext({ orm, name: 'job' }, () => em().insert(Book, { title: 'late' })),
      () => runInContext({ orm, name: 'job' }, () => em().count(Book)),
      () => orm.em.fork().insert(Book, { title: 'late' }),
      () => orm.em.fork().transactional(async em => { await em.insert(Book, { title: 'late' }) })
    ]
    for (const write of late) await t.rejects(async () => { await write() }, { code: 'FST_ORM_SANDBOX_ENDED' })
  })
  t.strictSame(await titles(), [])
  t.equal(taken(), 0)
})

onEachPool('the end of a sandbox cancels what is running, and fails what waits', async (t, database) => {
  const { orm, sleep, taken } = database
  const sandbox = await createSandbox(orm)
  const slow = sandbox.run(() => runInContext({ orm, name: 'slow' }, () => (em() as any).execute(sleep())))
  const waiting = sandbox.run(() => runInContext({ orm, name: 'waiting' }, () => em().insert(Book, { title: 'never' })))
  slow.catch(() => {})
  waiting.catch(() => {})
  await untilOne(database, isSleeping)
  await t.rejects(sandbox.rollback(), { code: 'FST_ORM_SANDBOX_RUNNING', message: /: slow, waiting\. / })
  await t.rejects(slow, /canceling statement|execution was interrupted|comes too late/)
  await t.rejects(waiting, { code: 'FST_ORM_SANDBOX_ENDED', message: /^waiting comes too late/ })
  t.equal(taken(), 0)
  t.equal(await orm.em.fork().count(Book), 0, 'the pool is whole')
})

onEachPool('a sandbox whose connection dies says so, and gives it back', async (t, { orm, connections, kill, taken }) => {
  const sandbox = await createSandbox(orm)
  await sandbox.em.insert(Book, { title: 'lost' })
  for (const { id } of await connections()) await kill(id)
  await t.rejects(sandbox.run(() => runInContext({ orm }, () => em().insert(Book, { title: 'too' }))))
  await t.rejects(sandbox.rollback())
  t.equal(taken(), 0)
  await using another = await createSandbox(orm)
  t.equal(await another.em.count(Book), 0)
})

onEachPool('a sandbox waits for others as long as they end, and says so when none does', async (t, { orm, another, taken }) => {
  havingLittlePatience(t)
  const small = await another({ pool: { min: 0, max: 1 } })
  const first = await createSandbox(small)
  const second = createSandbox(small)
  await first.rollback()
  const third = await t.rejects(createSandbox(small), {
    code: 'FST_ORM_SANDBOX_TAKEN', message: /^createSandbox\(\) needs a connection to "default", and none has become free in 1 s, with 1 other sandboxes open\. Roll back those that are over/
  })
  t.ok(third)
  await (await second).rollback()
  await (await createSandbox(small)).rollback()
  t.equal(taken(), 0)
  t.equal(await orm.em.fork().count(Book), 0)
})

onEachPool('a database that cannot be reached is no sandbox', async (t, { unconnected, taken }) => {
  const lost = await unconnected({ clientUrl: 'postgresql://127.0.0.1:1/lost' })
  await t.rejects(createSandbox(lost), { code: 'ECONNREFUSED' })
  t.equal(taken(), 0)
})

onSingleConnection('on a single connection there is one sandbox at a time, and nothing beside it', async (t, { orm, titles }) => {
  const { app, log } = await startServer(t, { orm }, app => {
    app.post('/', async () => { await em().insert(Book, { title: 'Emma' }) })
  })
  const sandbox = await createSandbox(orm)
  await t.rejects(createSandbox(orm), {
    code: 'FST_ORM_SANDBOX_TAKEN', message: 'createSandbox() needs a connection to "default", and its only one is held by a sandbox. Here there is one sandbox at a time: roll the other one back before, and run such tests one after the other'
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 500, 'outside of sandbox.run(), it would wait for ever')
  t.match(log.at(-1)?.err, { code: 'FST_ORM_SANDBOX_TAKEN', message: /Run it inside, send sandbox\.headers/ })
  await t.rejects(orm.em.fork().count(Book), { code: 'FST_ORM_SANDBOX_TAKEN' })

  await sandbox.run(() => runInContext({ orm }, async () => {
    await em().insert(Book, { title: 'outer' })
    await t.rejects(runInContext(() => em().insert(Book, { title: 'inner' })), { code: 'FST_ORM_SINGLE_CONNECTION' }, 'as without a sandbox')
  }))
  await sandbox.rollback()
  await using next = await createSandbox(orm)
  t.equal(await next.em.count(Book), 0)
  await next.rollback()
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  t.strictSame(await titles(), ['Emma'])
})

onSqlite('an attempt that is running, and work that waits for the next one, are named as well', async (t, { orm }) => {
  const [began, goOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const early = await createSandbox(orm)
  const attempt = early.run(() => runInContext({ orm, name: 'attempt', retry: 2 }, async () => {
    await em().count(Book)
    began.resolve()
    await goOn.promise
  }))
  await began.promise
  await t.rejects(early.rollback(), { code: 'FST_ORM_SANDBOX_RUNNING', message: /running in it: attempt\. / })
  goOn.resolve()
  await attempt.catch(() => {}) // it has only read

  const sandbox = await createSandbox(orm)
  const waiting = Promise.withResolvers<void>()
  const controller = new AbortController()
  const delay = (): number => {
    waiting.resolve()
    return 60_000
  }
  const running = sandbox.run(() => runInContext({ orm, name: 'job', signal: controller.signal, retry: { delay } }, () => conflict('sqlite')))
  const rejected = t.rejects(running, { name: 'AbortError' })
  await waiting.promise
  await t.rejects(sandbox.rollback(), { code: 'FST_ORM_SANDBOX_RUNNING', message: /running in it: job\. / })
  controller.abort()
  await rejected
})

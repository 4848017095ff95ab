import { em, runInContext } from '../../index.ts'
import { createSandbox } from '../../testing.ts'
import { Book, onEachDatabase, onPostgres, onSqlite } from '../support/databases.ts'
import { startServer } from '../support/server.ts'
import { until } from '../support/until.ts'

onEachDatabase('a context that still runs when the sandbox ends is named, and so is what it does later', async (t, { orm, titles, taken }) => {
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

onEachDatabase('what goes on inside of an ended sandbox never reaches the database', async (t, { orm, titles, taken }) => {
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

onPostgres('the end of a sandbox cancels what is running, and fails what waits', async (t, { orm, taken, observe }) => {
  const sandbox = await createSandbox(orm)
  const slow = sandbox.run(() => runInContext({ orm, name: 'slow' }, () => (em() as any).execute('select pg_sleep(60)')))
  const waiting = sandbox.run(() => runInContext({ orm, name: 'waiting' }, () => em().insert(Book, { title: 'never' })))
  slow.catch(() => {})
  waiting.catch(() => {})
  await until(async () => (await observe("select 1 from pg_stat_activity where query = 'select pg_sleep(60)' and state = 'active' and datname = current_database()")).length > 0)
  await t.rejects(sandbox.rollback(), { code: 'FST_ORM_SANDBOX_RUNNING', message: /: slow, waiting\. / })
  await t.rejects(slow, /canceling statement|comes too late/)
  await t.rejects(waiting, { code: 'FST_ORM_SANDBOX_ENDED', message: /^waiting comes too late/ })
  t.equal(taken(), 0)
  t.equal(await orm.em.fork().count(Book), 0, 'the pool is whole')
})

onPostgres('a sandbox whose connection dies says so, and gives it back', async (t, { orm, taken, observe }) => {
  const sandbox = await createSandbox(orm)
  await sandbox.em.insert(Book, { title: 'lost' })
  await observe('select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()')
  await t.rejects(sandbox.run(() => runInContext({ orm }, () => em().insert(Book, { title: 'too' }))))
  await t.rejects(sandbox.rollback())
  t.equal(taken(), 0)
  await using another = await createSandbox(orm)
  t.equal(await another.em.count(Book), 0)
})

onPostgres('a sandbox waits for others as long as they end, and says so when none does', async (t, { orm, another, taken }) => {
  const small = await another({ pool: { min: 0, max: 1 } })
  const first = await createSandbox(small)
  const second = createSandbox(small)
  await first.rollback()
  const third = await t.rejects(createSandbox(small), {
    code: 'FST_ORM_SANDBOX_TAKEN', message: /^createSandbox\(\) needs a connection to "default", and none has become free in 10 s, with 1 other sandboxes open\. Roll back those that are over/
  })
  t.ok(third)
  await (await second).rollback()
  await (await createSandbox(small)).rollback()
  t.equal(taken(), 0)
  t.equal(await orm.em.fork().count(Book), 0)
})

onPostgres('a database that cannot be reached is no sandbox', async (t, { unconnected, taken }) => {
  const lost = await unconnected({ clientUrl: 'postgresql://127.0.0.1:1/lost' })
  await t.rejects(createSandbox(lost), { code: 'ECONNREFUSED' })
  t.equal(taken(), 0)
})

onSqlite('on SQLite there is one sandbox at a time, and nothing beside it', async (t, { orm, titles }) => {
  const { app, log } = await startServer(t, { orm }, app => {
    app.post('/', async () => { await em().insert(Book, { title: 'Emma' }) })
  })
  const sandbox = await createSandbox(orm)
  await t.rejects(createSandbox(orm), {
    code: 'FST_ORM_SANDBOX_TAKEN', message: 'createSandbox() needs a connection to "default", and its only one is held by a sandbox. There is one sandbox at a time on SQLite: roll the other one back before, and run such tests one after the other'
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

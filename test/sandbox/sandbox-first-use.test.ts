import { em, runInContext } from '../../index.ts'
import { createSandbox } from '../../testing.ts'
import { Book, onEachDatabase, onSqlite } from '../support/databases.ts'

onEachDatabase('a sandbox may be the first use of a MikroORM', async (t, { unconnected, titles, taken }) => {
  const orm = await unconnected()
  t.equal(await orm.isConnected(), false)
  const sandbox = await createSandbox(orm)
  sandbox.em.create(Book, { title: 'Emma' })
  await sandbox.run(async () => {
    await runInContext({ orm }, async () => {
      t.equal(await em().count(Book), 1)
      em().create(Book, { title: 'Persuasion' })
    })
  })
  t.equal(await sandbox.em.count(Book), 2)
  await sandbox.rollback()
  t.strictSame(await titles(), [])
  t.equal(taken(), 0)
})

onSqlite('of two that are made at once, SQLite has room for one, also where nothing has connected', async (t, { unconnected }) => {
  const orm = await unconnected()
  const made = await Promise.allSettled([createSandbox(orm), createSandbox(orm)])
  const refused = made.filter(({ status }) => status === 'rejected')
  t.match(refused, [{ reason: { code: 'FST_ORM_SANDBOX_TAKEN' } }])
  for (const sandbox of made) if (sandbox.status === 'fulfilled') await sandbox.value.rollback()
})

onEachDatabase('in a sandbox, the connection of an EntityManager is connected', async (t, { unconnected }) => {
  const orm = await unconnected()
  await using sandbox = await createSandbox(orm)
  for (const connection of [sandbox.em.getConnection(), await sandbox.run(() => runInContext({ orm }, () => em().getConnection()))]) {
    await connection.ensureConnection()
    t.equal(await connection.isConnected(), true)
  }
})

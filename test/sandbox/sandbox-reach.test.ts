import type { SqlEntityManager } from '@mikro-orm/sql'
import { em, runInContext } from '../../index.ts'
import { createSandbox } from '../../testing.ts'
import { Book, onEachDatabase, onEachPool, onEveryEngine, onSqlite } from '../support/databases.ts'

/** What could get around a sandbox, and into the database itself. */

const sql = (): SqlEntityManager => em() as unknown as SqlEntityManager

onEachDatabase('a transaction that a statement of its own would end is refused', async (t, { orm, titles, kind, taken }) => {
  const sandbox = await createSandbox(orm)
  await sandbox.em.insert(Book, { title: 'arranged; commit' })
  const dump = "insert into book (title, stock) values ('dumped', 1); commit"
  const inPostgres = ['abort', '/* /* */ */ commit', "select E'\\''; commit; --'"] // SQLite has no such command, comment or string
  for (const statement of ['commit', ' COMMIT work', kind === 'mariadb' ? 'set autocommit = 1' : 'end', 'rollback', '/* a */ begin', 'start transaction', '-- done\ncommit', 'select 1; -- done\ncommit', dump, ...kind === 'postgresql' ? inPostgres : []]) {
    const refused = { code: 'FST_ORM_SANDBOX_REFUSED' }
    await t.rejects(sandbox.em.getConnection().executeDump(statement), refused, statement)
    await t.rejects(sandbox.run(() => orm.em.getConnection().executeDump(statement)), refused, statement)
    await t.rejects(sandbox.run(() => runInContext({ orm, name: 'job' }, () => sql().execute(statement))), { code: 'FST_ORM_TRANSACTION_COMMAND' }, statement)
  }
  await t.rejects(sandbox.run(() => (orm.em.fork() as unknown as SqlEntityManager).execute('commit')), {
    message: 'an EntityManager outside of a context is in a sandbox, and this would reach beyond the transaction that is rolled back: commit. Begin and commit with MikroORM or this plugin, or do it outside of the sandbox'
  })
  if (kind === 'postgresql') await sandbox.em.getConnection().executeDump('create table a (); create table b ()')
  if (kind === 'postgresql') await sandbox.em.execute('do $$ begin update book set stock = 7; end $$')
  if (kind !== 'mariadb') await sandbox.em.execute(kind === 'postgresql' ? 'create function f () returns int language sql begin atomic; select 1; end' : 'create trigger x after insert on book begin delete from author; end')
  t.equal(await sandbox.em.count(Book), 1)
  await sandbox.rollback()
  t.strictSame(await titles(), [])
  t.equal(taken(), 0)
})

onSqlite('when the database ends the transaction by itself, nothing more is done in the sandbox', async (t, { orm, titles }) => {
  const sandbox = await createSandbox(orm)
  await sandbox.em.insert(Book, { title: 'Emma' })
  await t.rejects(sandbox.run(() => runInContext({ orm }, () => sql().execute("insert or rollback into book (title, stock) values ('Emma', 1)"))))
  const lost = { code: 'FST_ORM_SANDBOX_ENDED', message: /a statement has ended the transaction of its sandbox/ }
  await t.rejects(sandbox.run(() => runInContext({ orm }, () => em().insert(Book, { title: 'real' }))), lost)
  await t.rejects(sandbox.em.insert(Book, { title: 'real' }), lost)
  await t.rejects(sandbox.rollback(), /no transaction is active/)
  t.strictSame(await titles(), [])
  await (await createSandbox(orm)).rollback()
})

onSqlite('a context that only reads, and is open when the sandbox ends, leaves nothing behind', async (t, { orm, titles }) => {
  const sandbox = await createSandbox(orm)
  const began = Promise.withResolvers<void>()
  const goOn = Promise.withResolvers<void>()
  const reading = sandbox.run(() => runInContext({ orm, readOnly: true, transaction: 'on-query' }, async () => {
    await em().count(Book)
    began.resolve()
    await goOn.promise
  }))
  await began.promise
  await t.rejects(sandbox.rollback(), { code: 'FST_ORM_SANDBOX_RUNNING' })
  goOn.resolve()
  await t.rejects(reading, { code: 'FST_ORM_SANDBOX_ENDED' })
  await orm.em.fork().insert(Book, { title: 'Emma' })
  t.strictSame(await titles(), ['Emma'])
})

onSqlite('what violated a foreign key before is no fault of the sandbox', async (t, { orm }) => {
  const connection = orm.em.getConnection()
  await connection.execute('pragma foreign_keys = off')
  await connection.execute("insert into book (title, stock, author_id) values ('orphan', 1, 99)")
  await connection.execute('pragma foreign_keys = on')
  await using sandbox = await createSandbox(orm)
  await sandbox.run(() => runInContext({ orm }, () => em().insert(Book, { title: 'Emma' })))
  t.equal(await sandbox.em.count(Book), 2)
})

onEveryEngine('the driver\'s own client cannot be had in a sandbox', async (t, { orm, kind }) => {
  await using sandbox = await createSandbox(orm)
  const native = (connection: any): Promise<unknown> => connection.getNativeClient()
  await sandbox.run(async () => {
    await t.rejects(native(orm.em.getConnection()), { code: 'FST_ORM_SANDBOX_REFUSED', message: /^an EntityManager outside of a context is .*: getNativeClient\(\)\./ })
    await t.rejects(runInContext({ orm, name: 'job' }, () => native(em().getConnection())), { code: 'FST_ORM_SANDBOX_REFUSED', message: /^job is/ })
  })
  if (kind === 'postgresql') t.ok(await native(orm.em.getConnection()))
})

onEachPool('read replicas are the sandbox as well', async (t, { another, titles }) => {
  const orm = await another({ replicas: [{ name: 'replica' }], preferReadReplicas: true })
  await using sandbox = await createSandbox(orm)
  await sandbox.em.insert(Book, { title: 'Emma' })
  await sandbox.run(async () => {
    t.equal(await orm.em.fork().count(Book), 1)
    t.equal(await runInContext({ orm }, () => em().count(Book)), 1)
    await orm.em.getConnection('read').execute("insert into book (title, stock) values ('Persuasion', 1)")
  })
  t.equal(await sandbox.em.count(Book), 2)
  t.strictSame(await titles(), [])
})

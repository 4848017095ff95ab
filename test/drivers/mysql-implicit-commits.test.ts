import t from 'tap'
import { em, runInContext } from '../../index.ts'
import { createSandbox } from '../../testing.ts'
import { implicitCommitOf } from '../../lib/sql/statement.ts'
import { Book, onMariadb } from '../support/databases.ts'

const sql = (): any => em()
const REFUSED = { code: 'FST_ORM_IMPLICIT_COMMIT' }

/** Each of them commits; the last eight beyond the statement, or together with others. */
const COMMITTING = [
  'create table shelf (id int)', 'create or replace table shelf (id int)', 'CREATE INDEX stocks ON book (stock)', 'alter table book add column shelf int',
  'drop table if exists shelf', 'rename table book to books', 'truncate book', 'truncate table book', 'analyze table book', 'optimize table book',
  'check table book', 'repair table book', "create user 'emma'", "grant select on *.* to 'emma'", 'flush status', 'set default role none', 'load index into cache book', 'start slave', 'stop slave', 'create temporary sequence s', '/* now */ truncate book',
  '-- now\ntruncate book', 'set statement max_statement_time=10 for truncate book', "set password = ''",
  '/*!99999 insert */ create table shelf (id int)', '/*!50000 truncate */ book', 'lock tables book write', 'flush tables with read lock', 'flush local tables book for export', 'backup stage start', 'insert into book (title) values (1); truncate book', "create procedure p() begin delete from book; end; update book set title = ''"
]
const OTHERS = [
  'select 1', "insert into book (title) values ('create table x')", 'create temporary table shelf (id int)', 'create or replace temporary table shelf (id int)',
  'drop temporary table shelf', 'analyze select 1', 'set @x = 1', 'show create table book', 'unlock tables', 'set statement max_statement_time=10 for select 1',
  'do 1', "select 1; update book set title = 'truncate'"
]

t.test('statements of MySQL that commit by themselves are known by their words', async t => {
  for (const statement of COMMITTING) t.ok(implicitCommitOf(statement, 'mysql'), statement)
  for (const statement of COMMITTING.slice(0, -8)) t.equal(implicitCommitOf(statement, 'mysql'), 'alone', statement)
  for (const statement of COMMITTING.slice(-8)) t.equal(implicitCommitOf(statement, 'mysql'), 'with others', statement)
  for (const statement of OTHERS) t.equal(implicitCommitOf(statement, 'mysql'), undefined, statement)
  t.equal(implicitCommitOf('create table shelf (id int)', 'postgresql'), undefined)
  const start = performance.now()
  implicitCommitOf(`create table ${'(['.repeat(250_000)}`, 'mysql')
  implicitCommitOf(';'.repeat(500_000), 'mysql')
  t.ok(performance.now() - start < 10_000)
})

onMariadb('after a write, what would commit by itself is refused before it is sent', async (t, { orm, sent, titles }) => {
  for (const statement of COMMITTING) {
    sent.length = 0
    await t.rejects(runInContext({ orm, name: 'job' }, async () => {
      await em().insert(Book, { title: 'Emma' })
      await t.rejects(sql().execute(statement), { ...REFUSED, message: /^job did not send this/, stack: /implicit-commits\.test/ }, statement)
      await t.rejects(em().transactional(inner => (inner as any).execute(statement)), REFUSED, statement)
      throw new Error('take it back')
    }), { message: 'take it back' })
    t.match(sent, ['begin', /^insert/, /^savepoint/, /^rollback to/, 'rollback'], statement)
    t.equal(sent.length, 5)
  }
  t.strictSame(await titles(), [])
})

onMariadb('a temporary table is a part of the transaction', async (t, { orm, sent, titles }) => {
  await t.rejects(runInContext({ orm }, async () => {
    await em().insert(Book, { title: 'Emma' })
    await sql().execute('create temporary table shelf (id int)')
    await sql().execute('drop temporary table shelf')
    throw new Error('take it back')
  }), { message: 'take it back' })
  t.equal(sent.length, 5)
  t.strictSame(await titles(), [])
})

onMariadb('before the first write, it runs outside of the transaction', async (t, { orm, sent, titles }) => {
  await t.rejects(runInContext({ orm }, async () => {
    await sql().execute('create table shelf (id int)')
    await em().insert(Book, { title: 'Emma' })
    throw new Error('take it back')
  }), { message: 'take it back' })
  t.match(sent, [/^create/, 'begin', /^insert/, 'rollback'])
  sent.length = 0
  await t.rejects(runInContext({ orm, transaction: 'on-query' }, async () => {
    await em().count(Book)
    await sql().execute('drop table shelf')
    await em().insert(Book, { title: 'Emma' })
    throw new Error('take it back')
  }), { message: 'take it back' })
  t.match(sent, ['begin', /^select/, 'commit', /^drop/, 'begin', /^insert/, 'rollback'], 'a transaction that has only read ends before')
  t.strictSame(await titles(), [])
})

onMariadb('what has locked rows has written, and tables are not locked for whoever comes next', async (t, { orm, sent }) => {
  await runInContext({ orm }, async () => {
    await t.rejects(sql().execute('lock tables book write'), REFUSED)
    await sql().execute('select 1 from book for update')
    await t.rejects(sql().execute('truncate book'), REFUSED)
  })
  t.match(sent, ['begin', /for update/, 'commit'])
  await t.rejects(runInContext({ orm, readOnly: true }, () => sql().execute('optimize table book')), { code: 'FST_ORM_READ_ONLY' })
  await t.rejects(runInContext({ orm, readOnly: true }, () => sql().execute('truncate book')), { code: 'FST_ORM_READ_ONLY' })
})

onMariadb('a sandbox refuses it always', async (t, { orm, titles }) => {
  await using sandbox = await createSandbox(orm)
  for (const statement of COMMITTING) {
    await t.rejects(sandbox.run(() => runInContext({ orm }, () => sql().execute(statement))), REFUSED, statement)
    await t.rejects((sandbox.em as any).execute(statement), REFUSED, statement)
  }
  sandbox.em.create(Book, { title: 'Emma' })
  await sandbox.run(async () => {})
  await sandbox.rollback()
  t.strictSame(await titles(), [])
})

import { MariaDbDriver, MikroORM } from '@mikro-orm/mariadb'
import { MysqlDialect } from 'kysely'
import { createPool } from 'mysql2'
import { em, runInContext } from '../../index.ts'
import { Author, Book, onMariadb, type Orm } from '../support/databases.ts'

const sql = (): any => em()

onMariadb('a write takes three round trips, a read-only snapshot as well, and a read one', async (t, { orm, sent }) => {
  await runInContext({ orm }, () => em().insert(Book, { title: 'Emma' }))
  t.match(sent.splice(0), ['begin', /^insert/, 'commit'])
  await runInContext({ orm, readOnly: true, transaction: 'on-query' }, () => em().count(Book))
  t.match(sent.splice(0), ['start transaction read only', /^select/, 'commit'])
  await runInContext({ orm }, () => em().count(Book))
  t.match(sent.splice(0), [/^select/])
  await runInContext({ orm, readOnly: true, isolationLevel: 'read committed', transaction: 'on-query' }, () => em().count(Book))
  t.match(sent.splice(0), ['set transaction isolation level read committed', 'start transaction read only', /^select/, 'commit'])
})

onMariadb('a snapshot that is read only is refused its writes by the database', async (t, { orm, titles }) => {
  await orm.schema.execute("create function write_book() returns int begin insert into book (title) values ('no'); return 1; end")
  await t.rejects(runInContext({ orm, readOnly: true }, () => sql().execute('select write_book() as written')), /READ ONLY/)
  t.strictSame(await titles(), [])
})

onMariadb('what a connection remembers stays with the statement that it is about', async (t, { orm, sent }) => {
  await orm.em.fork().insertMany(Book, [{ title: 'Emma' }, { title: 'Persuasion' }, { title: 'Sanditon' }])
  sent.length = 0
  await runInContext({ orm }, async () => {
    const selects = await Promise.all([sql().execute('select sql_calc_found_rows title from book limit 1'), sql().execute('select found_rows() as found')])
    t.match(selects, [[{}], [{ found: 3 }]])
    t.match(sent, ['begin', /^select/, /^select/])
  })
  for (const statement of ['select @x as x', 'select @@identity as x', 'select last_insert_id() as x', 'select row_count() as x', 'select connection_id() as x', "select get_lock('x', 0) as x", "select release_lock('x') as x"]) {
    sent.length = 0
    await runInContext({ orm }, () => sql().execute(statement))
    t.strictSame(sent, ['begin', statement, 'commit'])
  }
})

onMariadb('the first use of a MikroORM that nothing has connected', async (t, { unconnected, sent, titles }) => {
  for (const write of [false, true]) {
    const orm = await unconnected()
    t.equal(await orm.isConnected(), false)
    const jobs = ['a', 'b', 'c'].map(title => runInContext({ orm }, async () => {
      if (write) await em().insert(Book, { title })
      else t.equal(await em().count(Book), 0)
    }))
    await Promise.all(jobs)
  }
  t.strictSame(await titles(), ['a', 'b', 'c'])
  const orm = await unconnected()
  sent.length = 0
  await runInContext({ orm }, async () => { em() })
  t.equal(await orm.isConnected(), false, 'who asks nothing of the server does not connect to it')
  t.strictSame(sent, [])
})

/** Two contexts that have locked a row each, and then want the other's. Resolves with the error of the one that lost. */
async function deadlock (orm: Orm, lost: (error: Error) => Promise<void>): Promise<void> {
  const barrier = Promise.withResolvers<void>()
  let arrived = 0
  const job = (first: number, second: number) => runInContext({ orm, name: 'job' }, async () => {
    await sql().execute('update book set stock = stock + 1 where id = ?', [first])
    if (++arrived === 2) barrier.resolve()
    await barrier.promise
    try {
      await em().transactional(inner => (inner as any).execute('update book set stock = stock + 1 where id = ?', [second]))
    } catch (error) {
      await lost(error as Error)
    }
  })
  const settled = await Promise.allSettled([job(1, 2), job(2, 1)])
  const failures = settled.filter(({ status }) => status === 'rejected') as PromiseRejectedResult[]
  if (failures.length !== 1) throw new Error(`${failures.length} have failed`)
  throw failures[0]!.reason
}

onMariadb('a deadlock ends the transaction, also where it is caught', async (t, { orm, sent, observe, taken }) => {
  await orm.em.fork().insertMany(Book, [{ id: 1, title: 'Emma', stock: 0 }, { id: 2, title: 'Persuasion', stock: 0 }])
  let sentBefore = 0
  await t.rejects(deadlock(orm, async error => {
    t.match(error, { name: 'DeadlockException' })
    sentBefore = sent.filter(sql => /^rollback to/.test(sql)).length
    await t.rejects(em().insert(Book, { title: 'alone' }), { code: 'FST_ORM_TRANSACTION_FAILED', cause: { errno: 1213 } })
    await t.rejects(em().transactional(() => em().insert(Book, { title: 'alone' })), { code: 'FST_ORM_TRANSACTION_FAILED' })
  }), { code: 'FST_ORM_TRANSACTION_FAILED', cause: { errno: 1213 } })
  t.equal(sentBefore, 0, 'the savepoint is gone as well')
  t.strictSame((await observe('select title, stock from book order by title')).map(row => ({ ...row })), [{ title: 'Emma', stock: 1 }, { title: 'Persuasion', stock: 1 }])
  t.equal(taken(), 0)
})

onMariadb('a lock timeout ends the transaction, which the database may have rolled back or not', async (t, { orm, observe, titles, taken, sent }) => {
  await orm.em.fork().insert(Book, { id: 1, title: 'Emma' })
  const locked = Promise.withResolvers<void>()
  const done = Promise.withResolvers<void>()
  const other = runInContext({ orm }, async () => {
    await sql().execute('select 1 from book where id = 1 for update')
    locked.resolve()
    await done.promise
  })
  await locked.promise
  const update = (by: any): Promise<unknown> => by.execute('set statement innodb_lock_wait_timeout = 1 for update book set stock = 0 where id = 1')
  for (const attempt of [() => update(em()), () => em().transactional(update)]) {
    sent.length = 0
    await t.rejects(runInContext({ orm, name: 'job' }, async () => {
      await em().insert(Book, { title: 'before' })
      await t.rejects(attempt(), { name: 'LockWaitTimeoutException' })
      await t.rejects(em().insert(Book, { title: 'after' }), { code: 'FST_ORM_TRANSACTION_FAILED' })
    }), { code: 'FST_ORM_TRANSACTION_FAILED', cause: { errno: 1205 } })
    t.match(sent.splice(-2), [/for update book/, 'rollback'], 'nothing is sent in between')
  }
  done.resolve()
  await other
  t.strictSame(await titles(), ['Emma'])
  t.equal((await observe('select 1 from book where stock = 0')).length, 0)
  t.equal(taken(), 0)
})

onMariadb('a row that has changed since the snapshot ends the transaction', async (t, { orm, another, titles, observe }) => {
  const [{ version }] = await observe("select count(*) as version from information_schema.system_variables where variable_name = 'innodb_snapshot_isolation'")
  if (version === 0) {
    t.pass('there is no such setting')
    return
  }
  await orm.em.fork().insert(Book, { id: 1, title: 'Emma' })
  const snapshots = await another({ onReserveConnection: async (connection: any) => connection.executeQuery({ sql: 'set innodb_snapshot_isolation = on', parameters: [], query: {}, queryId: {} }) })
  await t.rejects(runInContext({ orm: snapshots, transaction: 'on-query' }, async () => {
    await em().count(Book)
    await orm.em.fork().nativeUpdate(Book, { id: 1 }, { stock: 9 })
    await t.rejects(em().transactional(inner => inner.nativeUpdate(Book, { id: 1 }, { stock: 1 })), { errno: 1020 } as any)
    await em().insert(Book, { title: 'after' })
  }), { code: 'FST_ORM_TRANSACTION_FAILED', cause: { errno: 1020 } })
  t.strictSame(await titles(), ['Emma'])
  t.equal((await observe('select 1 from book where stock = 9')).length, 1)
})

onMariadb('a procedure that ends the transaction by itself is noticed, and nothing is written after it', async (t, { orm, titles, sent }) => {
  const query = (sql: string): Promise<void> => orm.schema.execute(sql)
  await query('create procedure register (title varchar(50)) begin declare exit handler for sqlexception begin rollback; end; insert into book (title) values (title); end')
  await query('create procedure settle () begin commit; end')
  await query('create procedure keep () begin for i in 1..2 do update book set stock = stock + 1; end for; end')
  await orm.em.fork().insert(Book, { title: 'taken' })
  const write = async (statement: string): Promise<void> => await runInContext({ orm, name: 'order' }, async () => {
    await em().insert(Book, { title: 'first' })
    await sql().execute(statement)
    await em().insert(Book, { title: 'after it' })
  })
  await t.rejects(write("call register('taken')"), /It has ended the transaction/)
  t.strictSame(await titles(), ['taken'])
  await t.rejects(runInContext({ orm, name: 'order' }, async () => {
    await em().insert(Book, { title: 'first' })
    await t.rejects(em().transactional(inner => (inner as any).execute("call register('taken')")))
    await em().insert(Book, { title: 'after it' })
  }), { code: 'FST_ORM_TRANSACTION_FAILED' })
  t.strictSame(await titles(), ['taken'])
  sent.length = 0
  await write('call keep()')
  t.match(sent, ['begin', /^insert/, /^savepoint/, 'call keep()', /^release/, /^insert/, 'commit'])
  t.strictSame(await titles(), ['after it', 'first', 'taken'])
  await orm.em.fork().nativeDelete(Book, { title: 'after it' })
  await orm.em.fork().nativeDelete(Book, { title: 'first' })
  for (const statement of ['call settle()', 'set statement max_statement_time = 10 for call settle()']) {
    await t.rejects(write(statement), /It has ended the transaction/)
    t.strictSame(await titles(), ['first', 'taken'], 'what it has committed by itself stays')
    await orm.em.fork().nativeDelete(Book, { title: 'first' })
  }
  await t.rejects(runInContext({ orm }, () => sql().execute('if 1 then commit; end if')), { code: 'FST_ORM_TRANSACTION_COMMAND' })
  t.strictSame(await titles(), ['taken'])
})

onMariadb("a Kysely dialect of the user's own begins as Kysely does", async (t, { orm, titles }) => {
  const pool = createPool(orm.config.get('clientUrl')!)
  const own = await MikroORM.init({
    entities: [Author, Book], dbName: orm.config.get('dbName'), ensureDatabase: false, driver: MariaDbDriver, driverOptions: new MysqlDialect({ pool })
  }) as unknown as Orm
  t.teardown(() => own.close())
  await runInContext({ orm: own, isolationLevel: 'serializable' }, () => em().insert(Book, { title: 'Emma' }))
  await t.rejects(runInContext({ orm: own }, async () => {
    await em().insert(Book, { title: 'Persuasion' })
    throw new Error('no')
  }), { message: 'no' })
  t.strictSame(await titles(), ['Emma'])
})

import { MikroORM, PostgreSqlDriver } from '@mikro-orm/postgresql'
import type { Kysely, SqlEntityManager } from '@mikro-orm/sql'
import { AsyncLocalStorage } from 'node:async_hooks'
import { once } from 'node:events'
import { get as httpGet } from 'node:http'
import { PostgresDialect } from 'kysely'
import pg from 'pg'
import type { Test } from 'tap'
import { em, runInContext } from '../../index.ts'
import { Author, Book, onPostgres, type Orm, type TestDatabase } from '../support/databases.ts'
import { poolOf } from '../support/pool-of.ts'
import { startServer } from '../support/server.ts'
import { watchStrayErrors } from '../support/stray-errors.ts'
import { until } from '../support/until.ts'

const sql = (): SqlEntityManager => em() as unknown as SqlEntityManager

/** How many connections Kysely has lent. */
function countLent (orm: Orm): () => number {
  const client: Kysely<any> = (orm.em as unknown as SqlEntityManager).getConnection().getClient()
  const executor = client.getExecutor()
  const { provideConnection } = executor as any
  let lent = 0
  executor.provideConnection = (...args: unknown[]) => {
    lent++
    return provideConnection.apply(executor, args)
  }
  return () => lent
}

/** Runs `before` ahead of each query that is sent to the server, also by whoever cancels others. */
function clientWith (before: (sql: string, pid: number) => Promise<unknown> | undefined): object {
  return class extends pg.Client {
    override query (...args: any[]): any {
      const query = (): any => (super.query as any)(...args)
      return before(args[0], (this as any).processID)?.then(query) ?? query()
    }
  }
}

/** Is told of each cancellation, and sends it. */
function clientThatCancels (intercept: (cancel: () => void, control: any) => void): object {
  return class extends pg.Client {
    cancel (...args: unknown[]): void {
      intercept(() => (pg.Client.prototype as any).cancel.apply(this, args), this)
    }
  }
}

onPostgres('a read takes its connection from pg itself, and gives it back', async (t, { orm, taken }) => {
  const lent = countLent(orm)
  await runInContext({ orm }, async () => {
    t.strictSame(await em().find(Book, {}), [])
    t.equal(lent(), 1, 'the first of all, which opens Kysely')
    t.strictSame(await em().find(Book, {}), [])
    t.equal(taken(), 0)
    const kysely: Kysely<any> = sql().getKysely()
    t.strictSame(await kysely.selectFrom('book').selectAll().where('title', '=', 'Emma').execute(), [])
    t.strictSame(await sql().execute('select title from book where title = ?', ['Emma']), [])
    await Promise.all(Array.from({ length: 20 }, () => em().count(Book)))
    t.equal(taken(), 0)
  })
  t.equal(lent(), 1)
})

onPostgres('a read that fails says where it was called, and gives its connection back', async (t, { orm, taken }) => {
  async function readWhatIsNotThere (): Promise<unknown> {
    return await sql().getKysely().selectFrom('nothing' as never).selectAll().execute()
  }
  await runInContext({ orm }, async () => {
    await em().find(Book, {})
    for (let i = 0; i < 10; i++) {
      const error: any = await readWhatIsNotThere().catch(error => error)
      t.match(error, { code: '42P01', message: /"nothing" does not exist/, stack: /readWhatIsNotThere/ })
      t.equal(error.stack.split('\n')[0], 'error: relation "nothing" does not exist')
    }
    t.equal(taken(), 0)
    t.strictSame(await em().find(Book, {}), [])
  })
})

onPostgres('a read whose parameter throws gives its connection back, whatever that is', async (t, { orm, taken }) => {
  await runInContext({ orm }, async () => {
    await em().find(Book, {})
    for (const thrown of ['a string', Object.freeze(new Error('frozen')), null, undefined]) {
      const parameter = { toPostgres () { throw thrown } }
      const read = (sql().getKysely() as Kysely<any>).selectFrom('book').selectAll().where('title', '=', parameter).execute()
      await t.rejects(read, 'perhaps with an error of pg\'s, which writes a stack into what was thrown')
      t.equal(taken(), 0, String(thrown))
    }
    t.strictSame(await em().find(Book, {}), [])
  })
})

onPostgres('a read whose driver is wrapped by something that throws what is no error gives its connection back', async (t, { another, taken }) => {
  let thrown: { value: unknown } | undefined
  const Client = clientWith(() => thrown && Promise.reject(thrown.value))
  const orm = await another({ driverOptions: { Client } })
  await runInContext({ orm }, async () => {
    const read = (): Promise<unknown> => (sql().getKysely() as Kysely<any>).selectFrom('book').selectAll().execute()
    await read()
    for (const value of ['a string', Object.freeze(new Error('frozen')), null]) {
      thrown = { value }
      t.equal(await read().catch(error => error), value)
      t.equal(taken(), 0, String(value))
      thrown = undefined
      t.strictSame(await read(), [])
    }
  })
})

onPostgres('a read that gets no connection says where it was called', async (t, { another }) => {
  const orm = await another({ pool: { min: 0, max: 1 }, driverOptions: { connectionTimeoutMillis: 1000 } })
  async function readInVain (): Promise<unknown> {
    return await (sql().getKysely() as Kysely<any>).selectFrom('book').selectAll().execute()
  }
  await runInContext({ orm }, async () => {
    await em().find(Book, {})
    const pool = await poolOf(orm)
    const client = await pool.connect()
    await t.rejects(readInVain(), { message: /timeout exceeded/, stack: /readInVain/ })
    client.release()
    t.strictSame(await readInVain(), [])
  })
})

for (const option of ['onCreateConnection', 'onReserveConnection'] as const) {
  onPostgres(`${option} of MikroORM is called for reads, too`, async (t, { another }) => {
    const prepared: unknown[] = []
    const orm = await another({ [option]: async (connection: unknown) => { prepared.push(connection) } })
    await runInContext({ orm }, async () => {
      await em().find(Book, {})
      const before = prepared.length
      await Promise.all([1, 2, 3, 4].map(() => em().find(Book, {})))
      const pool = await poolOf(orm)
      if (option === 'onCreateConnection') t.equal(prepared.length, pool.totalCount)
      else t.equal(prepared.length - before, 4)
    })
  })
}

onPostgres("sessionContext: 'connection' is there for reads, too", async (t, { another }) => {
  const orm = await another({ sessionContext: 'connection' })
  const read = async (name: string): Promise<any> => await runInContext({ orm }, async () => {
    em().setSessionContext({ variables: { application_name: name } })
    return await sql().execute("select setting from pg_settings where name = 'application_name'")
  })
  await read('Anne')
  t.strictSame(await read('Jane'), [{ setting: 'Jane' }])
  t.strictSame(await read('Emma'), [{ setting: 'Emma' }])
})

onPostgres('reads find the new pool of a MikroORM that was closed and opened again', async (t, { orm }) => {
  const count = (): Promise<number> => runInContext({ orm }, () => em().count(Book))
  t.equal(await count(), 0)
  await orm.close()
  await orm.connect()
  t.equal(await count(), 0)
  t.equal(await count(), 0)
})

onPostgres('a MikroORM that has only been read from in contexts closes its pool', async (t, { another, observe }) => {
  const orm = await another({ pool: { min: 0, max: 5, idleTimeoutMillis: 0 } })
  await runInContext({ orm }, async () => {
    for (let i = 0; i < 3; i++) await em().count(Book)
  })
  const connections = async (): Promise<number> => (await observe("select 1 from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and query ~ 'count'")).length
  t.equal(await connections(), 1)
  await orm.close()
  await until(async () => await connections() === 0)
})

onPostgres('a read that has waited for its connection is sent in the async context of its own request', async (t, { another }) => {
  const names = new AsyncLocalStorage<string>()
  const seen: unknown[] = []
  const Client = clientWith(sql => {
    if (/"book"/.test(sql)) seen.push(names.getStore())
    return undefined
  })
  const orm = await another({ driverOptions: { Client }, pool: { min: 0, max: 1 } })
  await runInContext({ orm }, () => em().find(Book, {}))
  seen.length = 0
  await Promise.all(['Jane', 'Emma', 'Anne'].map(name => names.run(name, () => runInContext({ orm }, () => em().find(Book, {})))))
  t.strictSame(seen, ['Jane', 'Emma', 'Anne'])
})

/** Lets reads wait until it is undone. */
async function lockBooks (orm: Orm): Promise<() => Promise<void>> {
  const blocker = orm.em.fork({ useContext: false })
  await blocker.begin()
  await blocker.execute('lock table book in access exclusive mode')
  return () => blocker.rollback()
}

/** A request whose read waits for a lock, and whose client goes away meanwhile. */
async function abortRead (t: Test, orm: Orm, observe: TestDatabase['observe']): Promise<{ error: Promise<any>, unlock (): Promise<void> }> {
  await runInContext({ orm }, () => em().count(Book)) // the first read of all goes another way
  const error = Promise.withResolvers<any>()
  const { app } = await startServer(t, { orm }, app => {
    app.get('/', async () => {
      try {
        error.resolve(await em().find(Book, {}))
      } catch (reason) {
        error.resolve(reason)
      }
    })
  })
  const unlock = await lockBooks(orm)
  const request = httpGet(app.listeningOrigin).on('error', () => {})
  await until(async () => (await observe(WAITING)).length === 1)
  request.destroy()
  return { error: error.promise, unlock }
}

const BUSY = "select 1 from pg_stat_activity where datname = current_database() and state = 'active' and pid <> pg_backend_pid()"
const WAITING = "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"

onPostgres('an abort cancels a read that is running, also if the pool has nothing left', async (t, { another, observe, taken }) => {
  const orm = await another({ pool: { min: 0, max: 2 } })
  const { error, unlock } = await abortRead(t, orm, observe)
  t.match(await error, { code: '57014' })
  await unlock()
  await until(() => taken() === 0)
})

onPostgres('a connection is not given back while a cancellation is on its way to it', async (t, { another, observe, taken }) => {
  const cancelling = Promise.withResolvers<void>()
  const go = Promise.withResolvers<void>()
  const Client = clientThatCancels(cancel => {
    cancelling.resolve()
    go.promise.then(cancel)
  })
  const orm = await another({ driverOptions: { Client } })
  const { error, unlock } = await abortRead(t, orm, observe)
  await cancelling.promise
  await unlock()
  await until(async () => (await observe(BUSY)).length === 0)
  await observe('select 1') // the answer has had the time of a round trip
  t.equal(taken(), 1)
  go.resolve()
  t.strictSame(await error, [], 'it was too late')
  await until(() => taken() === 0)
  t.strictSame(await orm.em.fork().find(Book, {}), [])
})

onPostgres('a cancellation that cannot connect is no matter', async (t, { another, observe, taken }) => {
  const assertNoStrayErrors = watchStrayErrors(t)
  const refused = Promise.withResolvers<void>()
  const Client = clientThatCancels((cancel, control) => {
    control.port = 1 // where nobody listens
    control.connection.once('end', refused.resolve)
    cancel()
  })
  const orm = await another({ driverOptions: { Client } })
  const { error, unlock } = await abortRead(t, orm, observe)
  await refused.promise
  await unlock()
  t.strictSame(await error, [])
  await until(() => taken() === 0)
  await assertNoStrayErrors()
})

onPostgres('a read whose connection dies makes way for those that wait for it', async (t, { another, observe }) => {
  const orm = await another({ pool: { min: 0, max: 1 } })
  const blocker = await another()
  await runInContext({ orm }, () => em().count(Book))
  const unlock = await lockBooks(blocker)
  const count = (): Promise<number> => runInContext({ orm }, () => em().count(Book))
  const dies = t.rejects(count(), /terminating connection due to administrator command/)
  const waits = t.resolveMatch(count(), 0)
  await until(async () => (await observe(WAITING)).length === 1)
  await observe('select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and wait_event_type = \'Lock\'')
  await dies
  await unlock()
  await waits
})

onPostgres('a read that waits for what is held around it is told so', async (t, { another }) => {
  const orm = await another({ pool: { min: 0, max: 1 } })
  const count = (): Promise<number> => runInContext({ orm }, () => em().count(Book))
  await count()
  await runInContext({ orm }, async () => {
    await em().insert(Book, { title: 'Emma' })
    await t.rejects(count(), { code: 'FST_ORM_POOL_STARVED' })
  })
  t.equal(await count(), 1)
})

onPostgres("reads go through a Kysely dialect of the user's own", async (t, { orm }) => {
  const pool = new pg.Pool({ connectionString: orm.config.get('clientUrl')! })
  pool.on('error', () => {}) // the next test ends what is still closing
  const own = await MikroORM.init({ entities: [Author, Book], dbName: orm.config.get('dbName'), ensureDatabase: false, driver: PostgreSqlDriver, driverOptions: new PostgresDialect({ pool }) }) as unknown as Orm
  t.teardown(() => own.close())
  const lent = countLent(own)
  await runInContext({ orm: own }, async () => {
    for (let i = 0; i < 3; i++) t.equal(await em().count(Book), 0)
  })
  t.equal(lent(), 3)
})

onPostgres('reads go through Kysely where the driver does not give its pool away', async (t, { orm, titles }) => {
  Object.assign(orm.em.getConnection(), { getNativeClient: () => Promise.reject(new Error('Accessing the native client is not supported by current driver')) })
  const lent = countLent(orm)
  await runInContext({ orm }, async () => {
    for (let i = 0; i < 3; i++) t.equal(await em().count(Book), 0)
    t.equal(lent(), 3)
    await em().insert(Book, { title: 'Emma' })
  })
  t.strictSame(await titles(), ['Emma'])
})

onPostgres('closing the app waits for a read that a request which has failed has left running', async (t, { orm, observe }) => {
  const order: string[] = []
  const isReading = Promise.withResolvers<void>()
  const { app, get } = await startServer(t, { orm }, app => {
    app.get('/', async () => await em().count(Book))
    app.get('/leave', async () => {
      em().count(Book).catch(() => {})
      await isReading.promise
      throw new Error('no')
    })
  })
  t.equal(await (await get('/')).text(), '0')
  const unlock = await lockBooks(orm)
  const left = get('/leave')
  await until(async () => (await observe(WAITING)).length === 1)
  isReading.resolve()
  t.equal((await left).status, 500)
  const closed = app.close().then(() => order.push('closed'))
  await once(app.server, 'close')
  await observe('select 1') // lets it go ahead for a round trip
  order.push('unlocked')
  await unlock()
  await closed
  t.strictSame(order, ['unlocked', 'closed'])
})

onPostgres('where the session context is of the connection, a stream may be the first use', async (t, { orm, another, taken }) => {
  await orm.em.fork().insert(Book, { title: 'Emma' })
  const own = await another({ sessionContext: 'connection' })
  const titles: string[] = []
  await runInContext({ orm: own }, async () => {
    for await (const { title } of em().stream(Book)) titles.push(title)
  })
  t.strictSame(titles, ['Emma'])
  t.equal(taken(), 0)
})

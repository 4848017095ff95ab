import { MikroORM, PostgreSqlDriver } from '@mikro-orm/postgresql'
import { MikroORM as SqliteMikroORM } from '@mikro-orm/sqlite'
import { AsyncLocalStorage } from 'node:async_hooks'
import { once } from 'node:events'
import { join } from 'node:path'
import pg from 'pg'
import t from 'tap'
import contextOrm, { em, runInContext, switchable } from '../../index.ts'
import { Author, Book } from '../support/databases.ts'
import { startPostgres } from '../support/postgres-server.ts'
import { startServer } from '../support/server.ts'
import { until } from '../support/until.ts'

const OPTIONS = { entities: [Author, Book] }

/** Two PostgreSQL servers, with an empty database each. */
async function twoHosts (): Promise<{ a: Host, b: Host, stop (): Promise<void> }> {
  const second = await startPostgres()
  const a = await prepare(process.env.TEST_DATABASE_URL!)
  const b = await prepare(second.url)
  return {
    a,
    b,
    async stop () {
      await a.drop()
      await b.drop()
      await second.stop()
    }
  }
}

interface Host {
  url: string
  observe (sql: string): Promise<any[]>
  drop (): Promise<void>
}

async function prepare (server: string): Promise<Host> {
  const dbName = `moving_${process.pid}`
  const admin = new pg.Client({ connectionString: server })
  await admin.connect()
  await admin.query(`create database ${dbName}`)
  const url = new URL(server)
  url.pathname = `/${dbName}`
  const orm = await MikroORM.init({ ...OPTIONS, clientUrl: url.href })
  await orm.schema.create()
  await orm.close()
  const observer = new pg.Client({ connectionString: url.href, application_name: 'observer' })
  await observer.connect()
  return {
    url: url.href,
    observe: async sql => (await observer.query(sql)).rows,
    async drop () {
      await observer.end()
      await admin.query(`drop database ${dbName} with (force)`)
      await admin.end()
    }
  }
}

const connections = async (host: Host): Promise<number> => (await host.observe(
  "select pid from pg_stat_activity where datname = current_database() and backend_type = 'client backend' and application_name <> 'observer'")).length

const create = (url: string): Promise<MikroORM> => MikroORM.init({ ...OPTIONS, clientUrl: url, pool: { min: 0, max: 5 }, driver: PostgreSqlDriver })

const { a, b, stop } = await twoHosts()
t.teardown(stop)

t.test('under load, no request fails because of a switch, and no connection is left on the old host', async t => {
  const handle = await switchable(create, a.url)
  t.teardown(() => handle.close())
  const { post, app } = await startServer(t, { orm: handle }, app => {
    app.post('/:id', async request => {
      const { id } = request.params as any
      t.equal(await em().count(Book, { title: id }), 0)
      await em().insert(Book, { title: id })
      t.equal(await em().count(Book, { title: id }), 1, 'on the same host throughout')
      return { ok: true }
    })
  })
  const statuses: number[] = []
  const load = { isRunning: true }
  let count = 0
  const client = async (): Promise<void> => {
    while (load.isRunning) statuses.push((await post(`/book-${++count}`)).status)
  }
  const clients = Promise.all(Array.from({ length: 20 }, client))
  const atLeast = (n: number): Promise<void> => until(() => statuses.length >= n)
  await atLeast(50)
  for (const [from, to] of [[a, b], [b, a], [a, b]] as const) {
    await handle.switchTo(to.url)
    t.equal(handle.host, to.url)
    t.equal(app.orm, handle.orm as any)
    await atLeast(statuses.length + 100)
    await until(async () => await connections(from) === 0)
  }
  load.isRunning = false
  await clients
  t.strictSame(statuses.filter(status => status !== 200), [])
  const written = (await Promise.all([a, b].map(host => host.observe('select count(*)::int as n from book')))).map(rows => rows[0].n)
  t.equal(written[0] + written[1], statuses.length)
  t.ok(written[0] > 50 && written[1] > 100, written.join())
})

t.test('a context stays on the host on which it began, and its pool is closed when it has ended', async t => {
  const handle = await switchable(create, a.url)
  t.teardown(() => handle.close())
  const first = handle.orm
  await runInContext({ orm: handle }, async () => {
    await em().insert(Book, { title: 'on a' })
    await handle.switchTo(b.url)
    t.not(handle.orm, first)
    t.equal(em().config, first.config)
    t.equal(first.em.getContext(), em(), 'the old MikroORM is found')
    t.equal(handle.orm.em.getContext(), em(), 'and through the new one')
    await em().insert(Book, { title: 'also on a' })
    await runInContext(() => em().insert(Book, { title: 'on b' }))
    t.equal(await connections(a), 1)
  })
  await until(async () => await connections(a) === 0)
  t.equal(await first.isConnected(), false)
  t.equal((await a.observe("select title from book where title like '%on a'")).length, 2)
  t.equal((await b.observe("select title from book where title = 'on b'")).length, 1)
})

t.test('a switch to the present host is no switch, and a failed one leaves the old host in place', async t => {
  let made = 0
  const handle = await switchable(url => { made++; return create(url) }, a.url)
  t.teardown(() => handle.close())
  const { orm } = handle
  await handle.switchTo(a.url)
  t.equal(made, 1)
  const nobody = new URL(a.url)
  nobody.port = '1'
  await t.rejects(handle.switchTo(nobody.href), { code: 'FST_ORM_SWITCH_FAILED', message: /switchTo\(\) cannot connect \(see the cause\), and the database stays where it is/, cause: { message: /ECONNREFUSED/ } })
  const notConnected = await switchable(url => url === a.url ? create(url) : new MikroORM({ ...OPTIONS, clientUrl: url, ensureDatabase: false }), a.url)
  t.teardown(() => notConnected.close())
  await t.rejects(notConnected.switchTo(nobody.href), { code: 'FST_ORM_SWITCH_FAILED' }, 'also if the function has not connected')
  await t.rejects(switchable(async () => { throw new Error('no such file') }, 'x'), { message: 'no such file' })
  t.equal(handle.orm, orm)
  t.equal(await runInContext({ orm: handle }, () => em().count(Book, { title: 'nobody' })), 0)

  await Promise.all([handle.switchTo(b.url), handle.switchTo(a.url), handle.switchTo(b.url), handle.switchTo(b.url)])
  t.equal(handle.host, b.url, 'several at once follow one another')
  t.equal(made, 5)
  await until(async () => await connections(a) === 0)
})

t.test('beforeContext is awaited before each context, and can switch', async t => {
  let host = a.url
  let calls = 0
  const handle = await switchable(create, host, {
    async beforeContext (handle) {
      calls++
      if (host === 'unknown') throw new Error('no host')
      await handle.switchTo(host)
    }
  })
  t.teardown(() => handle.close())
  const { get } = await startServer(t, { orm: handle }, app => {
    app.get('/', async () => (await (em() as any).execute('select inet_server_port() as port'))[0])
    app.get('/health', { config: { orm: false } }, async () => ({ ok: true }))
  })
  const port = async (): Promise<string> => String((await (await get('/')).json() as any).port)
  t.equal(await port(), new URL(a.url).port)
  host = b.url
  t.equal(await port(), new URL(b.url).port)
  t.equal(await runInContext({ orm: handle }, async () => String((await (em() as any).execute('select inet_server_port() as port'))[0].port)), new URL(b.url).port)
  t.equal(calls, 3)
  t.equal((await get('/health')).status, 200)
  t.equal(calls, 3, 'not where there is no context')
  host = 'unknown'
  t.match(await (await get('/')).json(), { statusCode: 500, message: 'no host' })
})

t.test('one that moves beside one that does not', async t => {
  const sqlite = (contextName: string): Promise<SqliteMikroORM> => SqliteMikroORM.init({ ...OPTIONS, dbName: ':memory:', contextName })
  const still = await sqlite('still')
  const stranger = await sqlite('stranger')
  const handle = await switchable(() => sqlite('moving'), 'x')
  t.teardown(() => Promise.all([handle.close(), still.close(), stranger.close()]))
  await runInContext({ orm: [handle, still] }, () => {
    t.equal(still.em.getContext(), em('still'))
    t.equal(handle.orm.em.getContext(), em('moving'))
    t.equal(em(), em('moving'))
  })
  await runInContext({ orm: stranger }, () => {})
  await runInContext({ orm: handle }, () => { t.equal(stranger.em.getContext(false), stranger.em, 'which is none of the context\'s') })
})

t.test('what a function makes is closed with the app', async t => {
  const sqlite = (file: string): Promise<SqliteMikroORM> => SqliteMikroORM.init({ ...OPTIONS, dbName: join(t.testdir({}), file) })
  const handle = await switchable(sqlite, 'one.sqlite')
  const { default: Fastify } = await import('fastify')
  const app = Fastify()
  await app.register(contextOrm, { orm: () => handle })
  const { orm } = handle
  await app.close()
  t.equal(await orm.isConnected(), false)
  await t.rejects(handle.switchTo('two.sqlite'), { code: 'FST_ORM_SWITCH_FAILED', cause: { message: 'The database has been closed' } })
})

t.test('each mistake says what is wrong with it', async t => {
  const sqlite = (file: string): Promise<SqliteMikroORM> => SqliteMikroORM.init({ ...OPTIONS, dbName: ':memory:', contextName: file })
  await t.rejects(switchable(5 as any, 'x'), { code: 'FST_ORM_BAD_OPTION', message: /"create" takes a function that makes a MikroORM, got 5/ })
  await t.rejects(switchable(() => 5 as any, 'x'), { code: 'FST_ORM_BAD_OPTION', message: /"create" takes .* got one that made 5/ })
  await t.rejects(switchable(sqlite, 'x', { beforeContext: 5 as any }), { code: 'FST_ORM_BAD_OPTION', message: /"beforeContext" takes a function, got 5/ })
  const handle = await switchable(sqlite, 'one')
  t.teardown(() => handle.close())
  await t.rejects(handle.switchTo('two'), { code: 'FST_ORM_SWITCH_FAILED', cause: { code: 'FST_ORM_BAD_OPTION', message: /of one contextName \("one"\), got one that made "two"/ } })
})

t.test('an old pool that cannot be closed is a warning', async t => {
  const made: SqliteMikroORM[] = []
  const handle = await switchable(async (file: string) => {
    const orm = await SqliteMikroORM.init({ ...OPTIONS, dbName: join(t.testdir({}), file) })
    made.push(orm)
    return orm
  }, 'one.sqlite')
  t.teardown(() => handle.close())
  const close = made[0]!.close
  made[0]!.close = async () => {
    await close.call(made[0])
    throw new Error('busy')
  }
  const warned = once(process, 'warning')
  await handle.switchTo('two.sqlite')
  t.match((await warned)[0], { message: /could not close the database of the host before/, detail: /busy/ })
})

t.test('a switch that is still connecting when the database is closed is closed, too', async t => {
  const go = Promise.withResolvers<void>()
  const made: SqliteMikroORM[] = []
  const handle = await switchable(async (file: string) => {
    const orm = await SqliteMikroORM.init({ ...OPTIONS, dbName: join(t.testdirName, file) })
    made.push(orm)
    if (file === 'two.sqlite') await go.promise
    return orm
  }, (t.testdir({}), 'one.sqlite'))
  const switching = handle.switchTo('two.sqlite')
  await until(() => made.length === 2)
  await handle.close()
  go.resolve()
  await switching
  t.equal(handle.host, 'one.sqlite')
  for (const orm of made) t.equal(await orm.isConnected(), false)
})

t.test('an em() that comes when its context is over does not keep the host before', async t => {
  const orms: SqliteMikroORM[] = []
  const handle = await switchable(async () => {
    const orm = await SqliteMikroORM.init({ ...OPTIONS, dbName: ':memory:' })
    orms.push(orm)
    return orm
  }, 'a')
  t.teardown(() => handle.close())
  for (const use of [() => em(), () => {}]) {
    const late = await runInContext({ orm: handle }, () => {
      use()
      return AsyncLocalStorage.snapshot()
    })
    const own = late(() => em())
    t.equal(late(() => em()), own)
    await handle.switchTo(`after ${orms.length}`)
    const isOver = AbortSignal.timeout(2000)
    const before = orms.at(-2)!
    await until(async () => !await before.isConnected() || isOver.aborted)
    t.equal(await before.isConnected(), false)
    await t.rejects(own.count(Book), { code: 'FST_ORM_CONTEXT_ENDED' })
  }
})

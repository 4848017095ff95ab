import type { MikroORM } from '@mikro-orm/core'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import pg from 'pg'
import t, { type Test } from 'tap'
import { withoutPostgres } from '../../test/support/without-servers.ts'
import { until } from '../../test/support/until.ts'
import { createDatabase, type PostgresDatabase } from '../support/postgres-database.ts'
import { buildApp } from './app.ts'
import { openDatabases, openMain, openReporting, type DatabasesOptions } from './databases.ts'
import { Order, OutboxEntry, Product } from './main-entities.ts'
import { Sale } from './reporting-entities.ts'

interface Reply {
  status: number
  body: any
}

/** What connections of their own see, and so what is committed. */
interface Committed {
  pensLeft: number
  orders: number
  outbox: number
  /** Quantities by order. */
  sales: [orderId: number, quantity: number][]
}

interface Shop {
  url: string
  log: any[]
  get (path: string): Promise<Reply>
  order (...items: [product: string, quantity: number][]): Promise<Reply>
  committed (): Promise<Committed>
  main: MikroORM
  reporting: MikroORM
  /** Closes the shop, and opens another one on the same databases. */
  reopen (): Promise<Shop>
}

const EMPTY: Committed = { pensLeft: 100, orders: 0, outbox: 0, sales: [] }

function onSqlite (name: string, run: (t: Test, shop: Shop) => Promise<void>): void {
  t.test(`${name} (SQLite and SQLite)`, async t => {
    await run(t, await openShop(t, inFolder(t)))
  })
}

function onPostgres (name: string, run: (t: Test, shop: Shop, query: PostgresDatabase['query']) => Promise<void>): void {
  t.test(`${name} (PostgreSQL and SQLite)`, { skip: withoutPostgres }, async t => {
    const { url, query } = await createDatabase(t)
    await run(t, await openShop(t, { ...inFolder(t), url }), query)
  })
}

function onBoth (name: string, run: (t: Test, shop: Shop) => Promise<void>): void {
  onSqlite(name, run)
  onPostgres(name, run)
}

function inFolder (t: Test): DatabasesOptions {
  const folder = t.testdir({})
  return { file: join(folder, 'shop.sqlite'), reportingFile: join(folder, 'reporting.sqlite') }
}

async function openShop (t: Test, databases: DatabasesOptions): Promise<Shop> {
  const log: any[] = []
  const app = buildApp({ databases, logger: { level: 'warn', stream: { write: (line: string) => { log.push(JSON.parse(line)) } } } })
  t.teardown(() => app.close())
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const main = await openMain(databases)
  t.teardown(() => main.close())
  const reporting = await openReporting(databases)
  t.teardown(() => reporting.close())

  async function ask (path: string, init?: RequestInit): Promise<Reply> {
    const response = await fetch(url + path, init)
    return { status: response.status, body: await response.json() }
  }

  return {
    url,
    log,
    main,
    reporting,
    get: path => ask(path),
    order: (...items) => ask('/orders', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(items.map(([product, quantity]) => ({ product, quantity })))
    }),
    async committed () {
      const em = main.em.fork()
      const sales = await reporting.em.fork().find(Sale, {}, { orderBy: { orderId: 'asc' } })
      return {
        pensLeft: (await em.findOneOrFail(Product, { name: 'Pen' })).stock,
        orders: await em.count(Order),
        outbox: await em.count(OutboxEntry),
        sales: sales.map(sale => [sale.orderId, sale.quantity])
      }
    },
    async reopen () {
      await app.close()
      return await openShop(t, databases)
    }
  }
}

/** Lets reporting write sales, but not commit them. */
async function breakCommits ({ reporting }: Shop): Promise<void> {
  const connection = reporting.em.getConnection()
  await connection.execute('create table missing (id integer primary key)')
  await connection.execute('create table broken (id integer references missing (id) deferrable initially deferred)')
  await connection.execute('create trigger break_commit after insert on sale begin insert into broken values (1); end')
}

async function mendCommits ({ reporting }: Shop): Promise<void> {
  await reporting.em.getConnection().execute('drop trigger break_commit')
}

onBoth('an order is written to both databases, and leaves nothing in the outbox', async (t, shop) => {
  t.strictSame(await shop.committed(), EMPTY)
  t.match(await shop.order(['Pen', 2], ['Notebook', 1]), {
    status: 201, body: [{ id: 1, product: { name: 'Pen' }, quantity: 2, amount: 500 }, { id: 2, quantity: 1, amount: 600 }]
  })
  t.strictSame(await shop.committed(), { pensLeft: 98, orders: 2, outbox: 0, sales: [[1, 2], [2, 1]] })
  t.strictSame(await shop.get('/report'), { status: 200, body: { orders: 2, notReported: 0, sales: { Notebook: 1, Pen: 1 } } })
  t.strictSame(shop.log, [])
})

onBoth('an error rolls both databases back', async (t, shop) => {
  t.match(await shop.order(['Pen', 2], ['Notebook', 21]), { status: 409, body: { code: 'SHOP_SOLD_OUT', message: 'There is not enough left of "Notebook"' } })
  t.match(await shop.order(['Pen', 2], ['Harp', 1]), { status: 404, body: { code: 'SHOP_NOT_FOUND', message: 'There is no product "Harp"' } })
  t.equal((await shop.order(['Pen', 0])).status, 400)
  t.equal((await shop.order()).status, 400)
  t.strictSame(await shop.committed(), EMPTY)
  t.strictSame(shop.log, [])

  await shop.reporting.em.getConnection().execute("create trigger refuse before insert on sale begin select raise(abort, 'no space left'); end")
  t.strictSame(await shop.order(['Pen', 2]), { status: 500, body: { statusCode: 500, error: 'Internal Server Error', message: 'Something went wrong' } })
  t.strictSame(await shop.committed(), EMPTY)
  t.match(shop.log, [{ msg: /no space left/ }])
})

onBoth('an order that only the main database has committed stands, and is reported later', async (t, shop) => {
  t.equal((await shop.order(['Pen', 1])).status, 201)
  await breakCommits(shop)
  t.strictSame(await shop.order(['Pen', 2], ['Pen', 3]), { status: 202, body: { message: 'Ordered. The report will know of it later' } })
  t.match(shop.log, [{ err: { code: 'FST_ORM_PARTIAL_COMMIT', message: /^POST \/orders is committed in part: "default" committed, "reporting" did not/ } }])
  const afterwards: Committed = { pensLeft: 94, orders: 3, outbox: 2, sales: [[1, 1]] }
  t.strictSame(await shop.committed(), afterwards)
  t.match(await shop.get('/report'), { body: { orders: 3, notReported: 2, sales: { Pen: 1 } } })

  const second = await shop.reopen()
  t.match(second.log, [{ msg: 'The outbox is not copied', err: { message: /FOREIGN KEY/ } }], 'the shop opens even if it cannot be copied')
  t.strictSame(await second.committed(), afterwards)

  await mendCommits(second)
  const third = await second.reopen()
  t.strictSame(await third.committed(), { ...afterwards, outbox: 0, sales: [[1, 1], [2, 2], [3, 3]] })
  t.strictSame(third.log, [])
})

onBoth('what reporting has already is not there twice', async (t, shop) => {
  await shop.order(['Pen', 2], ['Notebook', 1])
  const before = await shop.committed()
  const em = shop.main.em.fork()
  for (const order of await em.findAll(Order)) em.create(OutboxEntry, { order })
  await em.flush() // as a process leaves it that is killed after the commit
  t.strictSame(await shop.committed(), { ...before, outbox: 2 })
  const reopened = await shop.reopen()
  t.strictSame(await reopened.committed(), before)
})

onPostgres('a report sees one moment of the main database', async (t, shop, query) => {
  await query('begin')
  await query('lock table shop_outbox in access exclusive mode')
  const report = shop.get('/report')
  await until(async () => (await query("select 1 from pg_locks where not granted and relation = 'shop_outbox'::regclass")).length > 0)
  await query('insert into shop_order (product_id, quantity, amount) values (1, 1, 250)')
  await query('insert into shop_outbox (order_id) values (1)')
  await query('commit')
  t.match(await report, { status: 200, body: { orders: 0, notReported: 0 } })
  t.match(await shop.get('/report'), { status: 200, body: { orders: 1, notReported: 1 } })
})

onPostgres('a report cannot write, not even by a function of the database', async (t, shop, query) => {
  await query('alter table shop_outbox rename to entries')
  await query('create table visit (id serial primary key)')
  await query("create function visit() returns int language sql as 'insert into visit default values returning id'")
  await query('create view shop_outbox as select id, order_id from entries where visit() > 0')
  await query('insert into shop_order (product_id, quantity, amount) values (1, 1, 250)')
  await query('insert into entries (order_id) values (1)')
  t.equal((await shop.get('/report')).status, 500)
  t.match(shop.log, [{ msg: /cannot execute INSERT in a read-only transaction/ }])
})

onBoth('each database is asked for its health', async (t, shop) => {
  t.strictSame(await shop.get('/health'), { status: 200, body: { default: true, reporting: true } })
})

onPostgres('a database that is gone is named', async (t, shop) => {
  const admin = new pg.Client({ connectionString: process.env.TEST_DATABASE_URL })
  await admin.connect()
  t.teardown(() => admin.end())
  await admin.query(`drop database ${shop.main.config.get('dbName')} with (force)`)
  t.strictSame(await shop.get('/health'), { status: 503, body: { default: false, reporting: true } })
})

t.test('if the second database cannot be opened, the first is closed again', async t => {
  const file = join(t.testdir({}), 'shop.sqlite')
  await t.rejects(openDatabases({ file, reportingFile: join(t.testdirName, 'missing', 'reporting.sqlite') }), /directory/)
})

t.test('the server prints its address, answers, and closes on SIGTERM', async t => {
  const { DATABASE_URL, ...inherited } = process.env
  const start = (env: Record<string, string>) => {
    const server = spawn(process.execPath, [join(import.meta.dirname, 'server.ts')], { cwd: folder, env: { ...inherited, PORT: '0', ...env } })
    t.teardown(() => server.kill('SIGKILL'))
    return server
  }
  const folder = t.testdir({})
  const server = start({})
  const [line] = await once(createInterface(server.stdout), 'line')
  const response = await fetch(/http:\S+/.exec(line)![0])
  t.strictSame(await response.json(), { orders: 0, notReported: 0, sales: {} })
  server.kill('SIGTERM')
  t.strictSame(await once(server, 'close'), [0, null])

  const second = start({ DATABASE_URL: 'postgresql://127.0.0.1:1/shop' })
  const [errors, ended] = await Promise.all([second.stderr.toArray(), once(second, 'close')])
  t.strictSame([Buffer.concat(errors).toString(), ended], ['The shop cannot open: connect ECONNREFUSED 127.0.0.1:1\n', [1, null]])
})

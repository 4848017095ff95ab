import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { restock, restockNightly } from '../../examples/cookbook/cron/restock.ts'
import contextOrm, { runInContext } from '../../index.ts'
import { clientOf, onPostgresShelf, type Shelf } from '../support/cookbook.ts'
import { until } from '../support/until.ts'

const EVERY_SECOND = { pattern: '* * * * * *' }

async function start (t: Test, { open }: Shelf): Promise<{ app: FastifyInstance, log: any[] }> {
  const log: any[] = []
  const app = Fastify({ logger: { level: 'error', stream: { write: line => { log.push(JSON.parse(line)) } } } }) as FastifyInstance
  app.register(contextOrm, { orm: open })
  app.register(restockNightly, EVERY_SECOND)
  await clientOf(t, app)
  return { app, log }
}

onPostgresShelf('a job runs in a context of its own, in one of several instances', async (t, shelf) => {
  const { app } = await start(t, shelf)
  const stock = async (): Promise<number> => (await shelf.query('select stock from book'))[0].stock
  await shelf.query("insert into book (title, stock) values ('Emma', 0)")
  await until(async () => await stock() === 3)
  await runInContext({ orm: app.orm }, async () => {
    await app.orm.em.getConnection().execute('select 1')
    t.equal(await restock(), 0, 'nothing to do')
    await shelf.query('update book set stock = 0')
    t.equal(await runInContext({ orm: app.orm }, restock), 0, 'the lock is taken by the context around')
  })
  await until(async () => await stock() === 3)
})

onPostgresShelf('a job that fails is rolled back and logged, and runs again', async (t, shelf) => {
  const { log } = await start(t, shelf)
  await shelf.query('alter table book rename to away')
  await until(() => log.length > 1)
  t.match(log, [{ err: { message: /book/ } }, { err: { message: /book/ } }])
  await shelf.query('alter table away rename to book')
  await shelf.query("insert into book (title, stock) values ('Emma', 0)")
  await until(async () => (await shelf.query('select stock from book'))[0].stock === 3)
})

onPostgresShelf('an app that closes waits for its job, and begins no other', async (t, shelf) => {
  const { app, log } = await start(t, shelf)
  await shelf.query("insert into book (title, stock) values ('Emma', 0)")
  await shelf.query('begin')
  await shelf.query('lock table book in exclusive mode')
  await until(async () => (await shelf.query("select from pg_locks where not granted and relation = 'book'::regclass")).length > 0)
  const closing = app.close()
  await shelf.query('commit')
  await closing
  t.strictSame(await shelf.query('select stock from book'), [{ stock: 3 }])
  t.strictSame(log, [])
}, { pool: { min: 1, max: 1 } })

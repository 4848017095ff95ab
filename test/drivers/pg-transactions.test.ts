import { TransactionPropagation } from '@mikro-orm/core'
import { defineEntity, p } from '@mikro-orm/sqlite'
import type { Kysely, SqlEntityManager } from '@mikro-orm/sql'
import pg from 'pg'
import { em, runInContext } from '../../index.ts'
import { Author, Book, onEachDatabase, onEachPool, onPostgres, onSqlite } from '../support/databases.ts'
import { poolOf } from '../support/pool-of.ts'
import { startServer } from '../support/server.ts'
import { terminateUnnoticed } from '../support/terminate.ts'
import { until } from '../support/until.ts'

const sql = (): SqlEntityManager => em() as unknown as SqlEntityManager
const books = (): Kysely<any> => sql().getKysely() as Kysely<any>
const write = (title: string): Promise<unknown> => em().insert(Book, { title })

onEachPool('what is no select can be streamed in a transaction, too', async (t, { orm, titles }) => {
  await runInContext({ orm }, async () => {
    await write('Emma')
    const seen: unknown[] = []
    for await (const row of books().insertInto('book').values([{ title: 'a' }, { title: 'b' }]).returning('title').stream(1)) seen.push(row)
    t.strictSame(seen, [{ title: 'a' }, { title: 'b' }])
  })
  t.strictSame(await titles(), ['Emma', 'a', 'b'])
})

onPostgres('a transaction that PostgreSQL has rolled back instead of committing is an error, whoever has kept its failure to himself', async (t, { another, titles, taken }) => {
  class Client extends pg.Client {
    override query (...args: any[]): any {
      const result = (super.query as any)(...args)
      return /twice/.test(args[0]) ? result.catch(() => ({ rows: [], rowCount: 1, command: 'INSERT' })) : result
    }
  }
  const orm = await another({ driverOptions: { Client } })
  await t.rejects(runInContext({ orm }, async () => {
    await write('Emma')
    for (let i = 0; i < 2; i++) await sql().execute("insert into book (title, stock) values ('twice', 1)")
  }), /PostgreSQL has rolled back instead of committing/)
  t.strictSame(await titles(), [])
  t.equal(taken(), 0)
})

onPostgres('where BEGIN finds a dead connection, so does what waits for it, and the next statement begins anew', async (t, { orm, taken, titles }) => {
  const die = async (): Promise<void> => {
    const client = await (await poolOf(orm)).connect()
    const { rows: [{ pid }] } = await client.query('select pg_backend_pid() as pid')
    client.release()
    await terminateUnnoticed({ orm }, pid)
  }
  await runInContext({ orm }, () => em().count(Book))
  await runInContext({ orm }, async () => {
    await die()
    const results = await Promise.allSettled([write('lost'), write('lost too')])
    for (const { status } of results) t.equal(status, 'rejected')
    await die()
    await t.rejects(em().begin())
    t.equal(taken(), 0)
    await write('Emma')
  })
  t.strictSame(await titles(), ['Emma'])
})

onPostgres('an app that has MikroORM prepare connections works as any other, through Kysely', async (t, { another, observe, titles, taken }) => {
  const orm = await another({ onReserveConnection: async () => {}, pool: { min: 0, max: 1 } })
  await runInContext({ orm }, async () => {
    t.strictSame(await books().selectFrom('book').selectAll().execute({ signal: new AbortController().signal } as never), [])
    await write('Emma')
  })
  const dies = t.rejects(runInContext({ orm }, () => sql().execute('select count(*) from generate_series(1, 1000000000)')), /terminating connection/)
  const running = "from pg_stat_activity where datname = current_database() and query like 'select count%generate_series%' and state = 'active'"
  await until(async () => (await observe(`select 1 ${running}`)).length === 1)
  await observe(`select pg_terminate_backend(pid) ${running}`)
  await dies
  await runInContext({ orm }, async () => {
    em().setSessionContext({ variables: { 'app.tenant': 'Jane' } })
    t.strictSame(await sql().execute("select current_setting('app.tenant') as tenant"), [{ tenant: 'Jane' }])
  })
  await t.rejects(runInContext({ orm }, async () => {
    em().setSessionContext({ role: 'nobody that there is' })
    await write('lost')
  }))
  const pool = await poolOf(orm)
  const client = await pool.connect()
  await client.query('begin')
  await client.query('select 1 / 0').catch(() => {})
  client.release()
  await t.rejects(runInContext({ orm }, () => write('lost')))
  t.strictSame(await titles(), ['Emma'])
  t.equal(taken(), 0)
})

onEachPool('a transaction beside that of its context has what a transaction has', async (t, { orm, titles }) => {
  const events: string[] = []
  const subscriber = { async afterTransactionCommit () { events.push('committed'); throw new Error('of the subscriber') } }
  const { log, post } = await startServer(t, { orm, warnHeldMs: 20, streamTimeout: 60 }, app => {
    app.post('/', async () => {
      await write('context')
      let captured: any
      await em().transactional(async inner => {
        captured = inner
        await inner.insert(Book, { title: 'beside' })
        await inner.transactional(async () => { await em().insert(Book, { title: 'taken back' }); throw new Error('no') }).catch(() => {})
        orm.em.getEventManager().registerSubscriber(subscriber)
        inner.getEventManager().registerSubscriber(subscriber)
      }, { propagation: TransactionPropagation.REQUIRES_NEW })
      orm.em.getEventManager().getSubscribers().delete(subscriber)
      await t.rejects(captured.insert(Book, { title: 'late' }), { code: 'FST_ORM_CONTEXT_ENDED' })
      t.equal(await captured.count(Book), 1)
      await t.rejects(em().transactional(async inner => {
        const stream = (inner as any).getConnection().stream('select title from book', [], inner.getTransactionContext(), undefined, 1)
        await stream.next()
        await until(() => log.some(({ msg }) => /streamTimeout|has not read on/.test(msg)) && log.some(({ err }) => err?.code === 'FST_ORM_STREAM_TIMEOUT'))
        for await (const row of stream) t.ok(row)
      }, { propagation: TransactionPropagation.REQUIRES_NEW }), { code: /FST_ORM_STREAM_TIMEOUT|FST_ORM_TRANSACTION_FAILED/ })
      return { ok: true }
    })
  })
  t.equal((await post('/')).status, 200)
  t.ok(events.length > 0)
  t.ok(log.some(({ err }) => err?.message === 'of the subscriber'))
  t.strictSame(await titles(), ['beside', 'context'])
})

onSqlite('a rollback that fails for another reason than that there is none is in the log', async (t, { another }) => {
  const orm = await another()
  const { log, post } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      await write('lost')
      const native: any = await (orm.em.getConnection() as any).getNativeClient()
      native.close()
      throw new Error('no')
    })
  })
  t.equal((await post('/')).status, 500)
  t.ok(log.some(({ msg }) => /the rollback has failed/.test(msg)))
})

const Shelf = defineEntity({ name: 'Shelf', properties: { id: p.integer().primary(), name: p.string(), items: () => p.oneToMany(Item).mappedBy('shelf').orphanRemoval() } })
const Item = defineEntity({ name: 'Item', properties: { id: p.integer().primary(), name: p.string(), shelf: () => p.manyToOne(Shelf) } })

onEachDatabase('what is made an orphan during a flush is removed by the next one', async (t, { another, observe }) => {
  const orm = await another({ entities: [Author, Book, Shelf, Item] })
  await orm.schema.update()
  await runInContext({ orm }, () => { em().create(Shelf, { name: 'a', items: [{ name: 'x' }, { name: 'y' }] } as any) })
  let during = (): void => {}
  orm.em.getEventManager().registerSubscriber({
    async afterCreate () {
      during()
      during = () => {}
    }
  })
  await runInContext({ orm }, async () => {
    const shelf: any = await em().findOneOrFail(Shelf, { name: 'a' }, { populate: ['items'] as any })
    during = () => { shelf.items.remove(shelf.items[0]) }
    em().create(Shelf, { name: 'b' } as any)
    await em().flush()
  })
  t.strictSame((await observe('select name from item')).length, 1)
})

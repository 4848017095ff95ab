import { get as httpGet } from 'node:http'
import { TransactionPropagation } from '@mikro-orm/core'
import type { SqlEntityManager } from '@mikro-orm/sql'
import { em, runInContext, type TransactionMode } from '../../index.ts'
import { Book, onEachPool, onPostgres, type TestPool } from '../support/databases.ts'
import { poolOf } from '../support/pool-of.ts'
import { isSleeping, untilNone, untilOne } from '../support/server-connections.ts'
import { startServer } from '../support/server.ts'
import { until } from '../support/until.ts'

const sql = (): SqlEntityManager => em() as unknown as SqlEntityManager

/** Ways to a statement that takes a minute. */
const WAYS: Record<string, [mode: TransactionMode, run: (sleep: string, options?: object) => Promise<unknown>]> = {
  'in the transaction': ['on-write', sleep => sql().execute(sleep)],
  'with transaction: false': [false, sleep => sql().execute(sleep)],
  'in an em.transactional() with transaction: false': [false, (sleep, options) => em().transactional(inner => (inner as unknown as SqlEntityManager).execute(sleep), options)],
  'in REQUIRES_NEW': ['on-write', (sleep, options) => em().transactional(inner => (inner as unknown as SqlEntityManager).execute(sleep), { ...options, propagation: TransactionPropagation.REQUIRES_NEW })]
}

async function untilNobodySleeps (database: TestPool): Promise<void> {
  await untilNone(database, isSleeping)
  await until(() => database.taken() === 0)
}

for (const [name, [transaction, run]] of Object.entries(WAYS)) {
  onEachPool(`a client that leaves, and a signal, cancel the statement that is running ${name}`, async (t, database) => {
    const { orm, sleep } = database
    const { app } = await startServer(t, { orm }, app => {
      app.get('/', { config: { orm: { transaction } } }, async () => await run(sleep()))
    })
    const request = httpGet(app.listeningOrigin).on('error', () => {})
    await untilOne(database, isSleeping)
    request.destroy()
    await untilNobodySleeps(database)

    const aborted = new AbortController()
    const running = t.rejects(runInContext({ orm, transaction, signal: aborted.signal }, () => run(sleep())), /enough/)
    await untilOne(database, isSleeping)
    aborted.abort(new Error('enough'))
    await running
    await untilNobodySleeps(database)
  })

  if (!name.startsWith('in an') && !name.startsWith('in REQ')) continue
  onEachPool(`MikroORM's own 'cancel query' cancels what is running ${name}`, async (t, database) => {
    const { orm, sleep } = database
    const aborted = new AbortController()
    const options = { signal: aborted.signal, inflightQueryAbortStrategy: 'cancel query' as const }
    const running = t.rejects(runInContext({ orm, transaction }, async () => {
      await run(sleep(), options)
    }))
    await untilOne(database, isSleeping)
    aborted.abort(new Error('enough'))
    await running
    await untilNobodySleeps(database)
  })
}

onEachPool('a stream that waits for its reader ends with its context, which has nothing to cancel', async (t, { orm, taken }) => {
  const aborted = new AbortController()
  const reading = Promise.withResolvers<void>()
  const running = t.rejects(runInContext({ orm, transaction: 'on-query', signal: aborted.signal }, async () => {
    const rows = em().stream(Book, {})
    await em().insert(Book, { title: 'Emma' })
    await rows[Symbol.asyncIterator]().next()
    reading.resolve()
    await new Promise(() => {})
  }), /enough/)
  await reading.promise
  aborted.abort(new Error('enough'))
  await running
  t.equal(taken(), 0)
  t.equal(await runInContext({ orm }, () => em().count(Book)), 0)
})

onEachPool('what ends a context with transaction: false cancels nothing of a branch inside it', async (t, { orm, sleep, titles }) => {
  const aborted = new AbortController()
  const branched = Promise.withResolvers<unknown>()
  await t.rejects(runInContext({ orm, transaction: false, signal: aborted.signal }, async () => {
    em().addFilter({ name: 'own', cond: {}, entity: Book })
    branched.resolve(runInContext(async () => {
      aborted.abort(new Error('enough'))
      await sql().execute(sleep(0.01))
      em().create(Book, { title: 'Emma' })
    }))
    await branched.promise
  }), /enough/)
  await branched.promise
  t.strictSame(await titles(), ['Emma'])
})

/** It looks into pg's pool. */
onPostgres('reads that wait for a connection when their client leaves are not run', async (t, database) => {
  const { another } = database
  const orm = await another({ pool: { min: 0, max: 2 } })
  await runInContext({ orm }, () => em().count(Book))
  const pool = await poolOf(orm)
  const errors: unknown[] = []
  const { app, get } = await startServer(t, { orm }, app => {
    app.get('/slow', async () => await sql().execute('select pg_sleep(60)').catch(error => { errors.push(error) }))
    app.get('/count', async () => String(await sql().getKysely<any>().selectFrom('book').select(({ fn }) => fn.countAll().as('n')).execute().catch(error => { errors.push(error) })))
    app.get('/quick', async () => ({ count: await em().count(Book) }))
  })
  const holders = [await pool.connect(), await pool.connect()]
  const requests = Array.from({ length: 12 }, () => httpGet(`${app.listeningOrigin}/count`).on('error', () => {}))
  await until(() => pool.waitingCount === 12)
  const sent: unknown[] = []
  for (const client of holders) client.connection.query = () => { sent.push('a statement') }
  for (const request of requests) request.destroy()
  await until(() => app.server.listening && errors.length === 0 && pool.waitingCount === 12)
  const quick = get('/quick')
  await until(() => pool.waitingCount === 13)
  for (const client of holders) Reflect.deleteProperty(client.connection, 'query')
  for (const client of holders) client.release()
  t.strictSame(await (await quick).json(), { count: 0 })
  t.equal(errors.length, 12)
  for (const error of errors) t.match(error, { code: 'FST_ORM_CONTEXT_ENDED' })
  t.strictSame(sent, [])
  await untilNobodySleeps(database)
})

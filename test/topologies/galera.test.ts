import { DeadlockException } from '@mikro-orm/core'
import { MikroORM } from '@mikro-orm/mariadb'
import type { FastifyRequest } from 'fastify'
import t, { type Test } from 'tap'
import { Author, Book, type Orm } from '../support/databases.ts'
import { startGalera, withoutGalera, type Galera, type GaleraNode } from '../support/galera.ts'
import { CONTENDED, openTransactions, startLoad } from '../support/load.ts'
import { collectSettled } from '../support/settled-events.ts'
import { startServer } from '../support/server.ts'
import { runTransfers } from '../support/transfers.ts'
import { watchStrayErrors } from '../support/stray-errors.ts'
import { em } from '../../index.ts'
import type { WriteLedger } from '../support/write-ledger.ts'

const titleOf = ({ params }: FastifyRequest): string => (params as { title: string }).title
const POOL = 5
const CLIENTS = 12

let galera: Galera

async function open (t: Test, { url }: GaleraNode, options: object = {}): Promise<Orm> {
  const orm = await MikroORM.init({
    entities: [Author, Book], clientUrl: url, pool: { min: 0, max: POOL }, discovery: { warnWhenNoEntities: false }, ...options
  })
  t.teardown(() => orm.close())
  await orm.connect()
  return orm as unknown as Orm
}

async function openAll (t: Test): Promise<Orm[]> {
  const orms = await Promise.all(galera.nodes.map(node => open(t, node)))
  await orms[0]!.schema.refresh()
  await orms[0]!.em.fork().insert(Book, { title: CONTENDED, stock: 0 })
  return orms
}

/** On every node: acknowledged is there, refused is not, in doubt is whole, and all of them have the same. */
async function assertLedgerIsTrue (t: Test, ledger: WriteLedger): Promise<void> {
  const tables = await Promise.all(galera.nodes.map(node => node.query('select title, stock from book order by title')))
  for (const [i, rows] of tables.entries()) {
    t.strictSame(ledger.compare(rows.map(({ title }) => title).filter(title => title !== CONTENDED)), [], `node ${i + 1}`)
    t.strictSame(rows, tables[0], `node ${i + 1} has what the first one has`)
    const added = rows.filter(({ title }) => title.endsWith('-0 first')).length
    t.equal(rows.find(({ title }) => title === CONTENDED).stock, added, 'and each change of the contended row once')
  }
}

t.test('a cluster of Galera', { skip: withoutGalera }, async t => {
  t.before(async () => { galera = await startGalera() })
  t.teardown(() => galera?.stop())

  await t.test('writers on all nodes: a certification that fails at the commit is a refusal, with everything rolled back', async t => {
    const settled = collectSettled(t)
    const orms = await openAll(t)
    const load = await startLoad(t, orms, CLIENTS)
    const hasFailedAtCommit = (): boolean => settled.some(({ outcome }) => outcome === 'commitFailed')
    do await load.until(100, ({ status }) => status === 200)
    while (!hasFailedAtCommit())
    const ledger = await load.stop()

    const failures = settled.filter(({ outcome }) => outcome !== 'committed')
    t.ok(failures.every(({ error }) => error instanceof DeadlockException))
    t.notOk([...ledger.verdicts.values()].includes('in doubt'))
    await assertLedgerIsTrue(t, ledger)
    for (const orm of orms) await openTransactions(orm, POOL)
  })

  await t.test('with retry, transfers through all nodes are answered with 200, and done once', async t => {
    const orms = await openAll(t)
    const { statuses, attempts, commits } = await runTransfers(t, orms)
    t.strictSame(Object.keys(statuses), ['200'])
    t.equal(commits, statuses[200])
    t.ok(attempts > commits)
    for (const orm of orms) await openTransactions(orm, POOL)
  })

  await t.test('a node that is killed under load, and comes back', async t => {
    const assertNoStrayErrors = watchStrayErrors(t)
    const orms = await openAll(t)
    const load = await startLoad(t, orms, CLIENTS)
    await Promise.all([0, 1, 2].map(node => load.until(30, ({ server, status }) => server === node && status === 200)))
    await galera.nodes[2]!.kill()
    await load.until(30, ({ server, status }) => server === 2 && status === 503)
    await Promise.all([0, 1].map(node => load.until(30, ({ server, status }) => server === node && status === 200)))
    await galera.nodes[2]!.start()
    await Promise.all([0, 1, 2].map(node => load.until(30, ({ server, status }) => server === node && status === 200)))
    const ledger = await load.stop()

    await assertLedgerIsTrue(t, ledger)
    for (const orm of orms) await openTransactions(orm, POOL)
    await assertNoStrayErrors()
  })

  await t.test('a node that is cut off under load answers 503, and the others go on', async t => {
    const orms = await openAll(t)
    const load = await startLoad(t, orms, CLIENTS)
    const isolate = (isCutOff: 0 | 1): Promise<unknown> => galera.nodes[1]!.query(`set global wsrep_provider_options = 'gmcast.isolate=${isCutOff}'`)
    await load.until(30, ({ server, status }) => server === 1 && status === 200)
    await isolate(1)
    await load.until(50, ({ server, status }) => server === 1 && status !== 200)
    await Promise.all([0, 2].map(node => load.until(30, ({ server, status }) => server === node && status === 200)))
    await isolate(0)
    await load.until(30, ({ server, status }) => server === 1 && status === 200)
    const ledger = await load.stop()
    await assertLedgerIsTrue(t, ledger)
    await openTransactions(orms[1]!, POOL)
  })

  await t.test('a node that is not ready answers 503, also to reads', async t => {
    const [orm] = await openAll(t) as [Orm, ...Orm[]]
    const { get, post } = await startServer(t, { orm }, app => {
      app.get('/', async () => await em().count(Book))
      app.post('/', async () => em().create(Book, { title: 'Emma' }))
    })
    const [node] = galera.nodes as [GaleraNode, ...GaleraNode[]]
    await node.query('set global wsrep_reject_queries = ALL')
    for (const response of [await get('/'), await post('/')]) {
      t.equal(response.status, 503)
      t.equal(response.headers.get('retry-after'), '1')
    }
    await node.query('set global wsrep_reject_queries = NONE')
    t.equal((await post('/')).status, 200)
  })

  await t.test('with wsrep_sync_wait, a read on another node sees every commit that was acknowledged', async t => {
    await openAll(t)
    const [one, other] = galera.nodes as [GaleraNode, GaleraNode, GaleraNode]
    const measure = async (syncWait: 0 | 1): Promise<{ stale: number, median: number }> => {
      const { post } = await startServer(t, { orm: await open(t, one) }, app => {
        app.post('/:title', async request => em().create(Book, { title: titleOf(request) }))
      })
      const reading = await open(t, other, { pool: { min: 0, max: 1 } })
      await reading.em.getConnection().execute(`set session wsrep_sync_wait = ${syncWait}`)
      const { get } = await startServer(t, { orm: reading }, app => {
        app.get('/:title', async request => ({ seen: await em().count(Book, { title: titleOf(request) }) }))
      })
      const latencies: number[] = []
      let stale = 0
      for (let i = 0; i < READS; i++) {
        const path = `/${syncWait}-${i}`
        await (await post(path)).json()
        const start = performance.now()
        const { seen } = await (await get(path)).json() as { seen: number }
        latencies.push(performance.now() - start)
        if (seen !== 1) stale++
      }
      return { stale, median: latencies.sort((a, b) => a - b)[READS / 2]! }
    }
    const [without, synced] = [await measure(0), await measure(1)]
    t.comment(`without: ${without.stale} of ${READS} stale, median ${without.median.toFixed(2)} ms; with: ${synced.stale}, ${synced.median.toFixed(2)} ms`)
    t.equal(synced.stale, 0)
  })
})

const READS = 100

import { MikroORM } from '@mikro-orm/postgresql'
import { setTimeout } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { em, runInContext } from '../../index.ts'
import { startPostgresReplicas, withoutPostgresReplicas, type PostgresReplicas } from '../support/postgres-replicas.ts'
import { Note, startReplicaApp, type AppOptions, type ReplicaApp } from '../support/replicas/app.ts'
import { describe, PAIRS, startProcess, writeThenRead } from '../support/replicas/pairs.ts'
import { until } from '../support/until.ts'

let servers: PostgresReplicas

const MAX_LAG = 200
const CLIENTS = 8
/** Leaves a part of the processor to the servers. */
const PAUSE_MS = 5
const TOKENS: AppOptions['tokens'] = { readYourWrites: 'cookie', secret: 'of the test', wait: 100 }

function optionsFor (tokens?: AppOptions['tokens']): AppOptions {
  const { primary, replicas } = servers
  return { engine: 'postgresql', primary: primary.url, replicas: replicas.map(({ url }) => url), tokens }
}

async function makeTable (): Promise<void> {
  const orm = await MikroORM.init({ entities: [Note], clientUrl: servers.primary.url })
  await orm.schema.refresh()
  await orm.close()
  await untilReplayed()
}

async function untilReplayed (): Promise<void> {
  const [{ lsn }] = await servers.primary.query('select pg_current_wal_insert_lsn() as lsn')
  for (const replica of servers.replicas) await until(async () => (await replica.query(`select pg_last_wal_replay_lsn() >= '${lsn}' as is_there`))[0].is_there)
}

/** Lags of its own for each replica, and others all the time. */
async function withRandomLag (run: () => Promise<void>): Promise<void> {
  const stopped = new AbortController()
  const changing = (async () => {
    while (!stopped.signal.aborted) {
      await Promise.all(servers.replicas.map(replica => replica.lag(Math.floor(Math.random() * (MAX_LAG + 1)))))
      await setTimeout(50)
    }
  })()
  try {
    await run()
  } finally {
    stopped.abort()
    await changing
    await Promise.all(servers.replicas.map(replica => replica.lag(0)))
  }
}

async function startApp (t: Test, options: AppOptions): Promise<ReplicaApp> {
  const app = await startReplicaApp(options)
  t.teardown(() => app.close())
  return app
}

t.test('a PostgreSQL with two replicas', { skip: withoutPostgresReplicas }, async t => {
  t.before(async () => {
    servers = await startPostgresReplicas()
    await makeTable()
  })
  t.teardown(() => servers?.stop())

  await t.test('with tokens, no read is stale, whichever process and replica it is from', async t => {
    const [one, other] = await Promise.all([startProcess(t, optionsFor(TOKENS)), startProcess(t, optionsFor(TOKENS))])
    const [plain, plainOther] = await Promise.all([startProcess(t, optionsFor()), startProcess(t, optionsFor())])
    await Promise.all(servers.replicas.map(replica => replica.lag(1000))) // longer than a busy machine takes for a read
    const without = await writeThenRead(plain, plainOther, 'without', PAIRS / 10)
    t.comment(describe('without tokens', without))
    t.ok(without.stale > PAIRS / 40, 'without tokens, many are')
    t.equal(without.failed, 0)
    await withRandomLag(async () => {
      const pairs = await writeThenRead(one, other, 'with', PAIRS)
      t.comment(describe('with tokens', pairs))
      t.equal(pairs.stale, 0)
      t.equal(pairs.failed, 0)
      t.ok(pairs.served.read > 0, 'replicas have their share')
    })
  })

  await t.test('a snapshot that a standby cancels is taken on the primary in the next attempt', async t => {
    const [replica] = servers.replicas as [typeof servers.primary]
    const orm = await MikroORM.init({ entities: [Note], clientUrl: servers.primary.url, replicas: [{ clientUrl: replica.url }] })
    t.teardown(() => orm.close())
    await replica.query('alter system set max_standby_streaming_delay = 0')
    await replica.query('select pg_reload_conf()')
    await servers.primary.query("insert into note (text) select 'dead ' || i from generate_series(1, 1000) i")
    await untilReplayed()
    const seen: number[] = []
    await runInContext({ orm, readOnly: true, isolationLevel: 'repeatable read', retry: { attempts: 2, delay: () => 0 } }, async () => {
      seen.push(await em().count(Note, { text: { $like: 'dead %' } }))
      if (seen.length > 1) return
      const sleeping: Promise<unknown> = (em() as any).execute('select pg_sleep(60)')
      sleeping.catch(() => {})
      await until(async () => (await replica.query("select 1 from pg_stat_activity where wait_event = 'PgSleep'")).length > 0)
      await servers.primary.query("delete from note where text like 'dead %'")
      await servers.primary.query('vacuum note')
      await sleeping
    })
    t.strictSame(seen, [1000, 0])
  })

  await t.test('a replica that is killed and one that stops, under load: no request fails, and none takes long', async t => {
    const { app, served, warnings } = await startApp(t, optionsFor(TOKENS))
    const [one, other] = servers.replicas as [typeof servers.primary, typeof servers.primary]
    const latencies: number[] = []
    const statuses = new Set<number>()
    const stopped = new AbortController()
    let replies = 0
    const client = async (): Promise<void> => {
      while (!stopped.signal.aborted) {
        const start = performance.now()
        const response = await fetch(`${app.listeningOrigin}/nothing`)
        await response.arrayBuffer()
        latencies.push(performance.now() - start)
        statuses.add(response.status)
        replies++
        await setTimeout(PAUSE_MS)
      }
    }
    const clients = Promise.all(Array.from({ length: CLIENTS }, client))
    const further = async (count: number): Promise<void> => {
      const enough = replies + count
      await until(() => replies >= enough)
    }
    await further(500)
    one.freeze()
    await until(() => warnings.some(message => message.includes('"replica1"')))
    await further(500)
    await other.kill()
    await until(() => warnings.some(message => message.includes('"replica2"')))
    await further(500)
    const onPrimary = served.write
    await further(100)
    t.ok(served.write > onPrimary, 'the primary has the reads when no replica is left')
    one.thaw()
    await other.start()
    await until(async () => {
      const { read } = served
      await further(50)
      return served.read > read + 25
    })
    stopped.abort()
    await clients

    latencies.sort((a, b) => a - b)
    const p99 = latencies[Math.floor(latencies.length * 0.99)]!
    t.comment(`${latencies.length} requests, p99 ${p99.toFixed(1)} ms, at most ${latencies.at(-1)!.toFixed(1)}; ${warnings.join('; ')}`)
    t.strictSame(statuses, new Set([200]))
    t.ok(p99 < 1000, 'p99 is under a second')
  })

  await t.test('after a failover, tokens of the timeline before say nothing of a replica that is still on it', async t => {
    const [one] = servers.replicas as [typeof servers.primary]
    await one.promote()
    await until(async () => (await one.query('select pg_is_in_recovery() as is_standby'))[0].is_standby === false)
    const [primary, replica] = [one, servers.replicas[1]!]
    const { app, served } = await startApp(t, { ...optionsFor(TOKENS), primary: primary.url, replicas: [replica.url] })
    // the replica goes on with what the old primary does, and gets further than the new one
    await servers.primary.query("insert into note (text) select 'old ' || i from generate_series(1, 10000) i")
    await untilReplayedBy(replica)
    const written = await fetch(`${app.listeningOrigin}/new`, { method: 'POST' })
    t.equal(written.status, 200)
    const cookie = written.headers.get('set-cookie')!.split(';')[0]!
    const read = await fetch(`${app.listeningOrigin}/new`, { headers: { cookie } })
    t.strictSame(await read.json(), { seen: 1 })
    t.equal(served.read, 0)
  })
})

async function untilReplayedBy (replica: typeof servers.primary): Promise<void> {
  const [{ lsn }] = await servers.primary.query('select pg_current_wal_insert_lsn() as lsn')
  await until(async () => (await replica.query(`select pg_last_wal_replay_lsn() >= '${lsn}' as is_there`))[0].is_there)
}

import { MariaDbDriver } from '@mikro-orm/mariadb'
import { MikroORM, PostgreSqlDriver } from '@mikro-orm/postgresql'
import { createConnection, type RowDataPacket } from 'mysql2/promise'
import pg from 'pg'
import t, { type Test } from 'tap'
import { em, runInContext, type TransactionMode } from '../../index.ts'
import { Author, Book, type Orm } from '../support/databases.ts'
import { killOnMariadb, killOnPostgres } from '../support/kill.ts'
import { hasMariadb, startMariadb } from '../support/mariadb-server.ts'
import { startPostgres } from '../support/postgres-server.ts'
import { startServer } from '../support/server.ts'
import { collectSettled } from '../support/settled-events.ts'
import { watchStrayErrors } from '../support/stray-errors.ts'
import { until } from '../support/until.ts'
import { assertPoolIsWhole } from '../support/whole-pool.ts'
import { withoutMariadb, withoutPostgres } from '../support/without-servers.ts'

const POOL = 5

interface Server {
  url: string
  crash (): Promise<void>
  start (): Promise<void>
  stop (): Promise<void>
}

/** A server of this test's own. */
interface Engine {
  name: string
  skip: string | false
  driver: unknown
  start (): Promise<Server>
  query (url: string, sql: string): Promise<any[]>
  kill (query: Query, id: number): Promise<void>
  /** Has commits wait to say that they are done, or not any more. */
  withholdAnswers (query: Query, withhold: boolean): Promise<void>
  /** The `id` of such a commit. */
  withheld: string
  /** Transactions that somebody has left open. */
  open: string
}

type Query = (sql: string) => Promise<any[]>

const ENGINES: Engine[] = [
  {
    name: 'PostgreSQL',
    skip: withoutPostgres,
    driver: PostgreSqlDriver,
    start: () => startPostgres(),
    async query (url, sql) {
      const client = new pg.Client({ connectionString: url })
      await client.connect()
      try {
        return (await client.query(sql)).rows
      } finally {
        await client.end()
      }
    },
    kill: killOnPostgres,
    async withholdAnswers (query, withhold) {
      const standby = withhold ? 'nobody' : '' // who would have to have it as well
      await query(`alter system set synchronous_standby_names = '${standby}'`)
      await query('select pg_reload_conf()')
      await until(async () => (await query('show synchronous_standby_names'))[0].synchronous_standby_names === standby)
    },
    withheld: "select pid as id from pg_stat_activity where wait_event = 'SyncRep'",
    open: "select state, query from pg_stat_activity where state not in ('idle', 'active')"
  },
  {
    name: 'MariaDB',
    skip: withoutMariadb || (!hasMariadb && 'needs mariadbd on the path'),
    driver: MariaDbDriver,
    // what is committed outlives the process
    start: () => startMariadb(['innodb-flush-log-at-trx-commit=2', 'log-bin', 'server-id=1', `rpl-semi-sync-master-timeout=${1e9}`]),
    async query (url, sql) {
      const client = await createConnection({ uri: url })
      try {
        return (await client.query<RowDataPacket[]>(sql))[0]
      } finally {
        await client.end()
      }
    },
    kill: killOnMariadb,
    withholdAnswers: async (query, withhold) => { await query(`set global rpl_semi_sync_master_enabled = ${withhold ? 'on' : 'off'}`) },
    withheld: "select id from information_schema.processlist where state = 'Waiting for semi-sync ACK from slave'",
    open: 'select trx_id from information_schema.innodb_trx'
  }
]

for (const engine of ENGINES) t.test(engine.name, { skip: engine.skip }, t => testOn(t, engine))

async function testOn (t: Test, engine: Engine): Promise<void> {
  const server = await engine.start()
  t.teardown(() => server.stop())
  const query: Query = sql => engine.query(server.url, sql)
  const titles = async (): Promise<string[]> => (await query('select title from book')).map(row => row.title)
  const openOrm = async (t: Test): Promise<Orm> => {
    const orm = await MikroORM.init({
      entities: [Author, Book], driver: engine.driver as typeof PostgreSqlDriver, clientUrl: server.url, pool: { min: 0, max: POOL }, discovery: { warnWhenNoEntities: false }
    })
    t.teardown(() => orm.close())
    await orm.schema.refresh()
    return orm as unknown as Orm
  }

  t.test('a connection that dies when the commit is done, and not answered yet, leaves it in doubt, and is never run again', async t => {
    const retry = { attempts: 2, when: () => true }
    const assertNoStrayErrors = watchStrayErrors(t)
    const settled = collectSettled(t)
    const orm = await openOrm(t)
    const { post } = await startServer(t, { orm }, app => {
      app.post('/', { config: { orm: { retry } } }, async () => {
        await em().insert(Book, { title: 'request' })
        return 'ok'
      })
    })
    const killWithheld = async (): Promise<void> => {
      let found: any[] = []
      await until(async () => (found = await query(engine.withheld)).length > 0)
      await engine.kill(query, found[0].id)
    }
    await engine.withholdAnswers(query, true)
    const response = post('/')
    await killWithheld()
    t.equal((await response).status, 503)
    t.equal((await response).headers.get('retry-after'), '1')

    const run = runInContext({ orm, retry }, () => em().insert(Book, { title: 'run' }))
    const rejected = t.rejects(run)
    await killWithheld()
    await rejected
    await engine.withholdAnswers(query, false)
    t.match(settled, [{ outcome: 'commitFailed' }, { outcome: 'commitFailed' }])
    t.equal(settled.length, 2)
    t.strictSame(await titles(), ['request', 'run'])
    await assertPoolIsWhole(orm, POOL)
    await assertNoStrayErrors()
  })

  for (const transaction of ['on-write', 'on-query'] as const) {
    t.test(`a server that dies under load and comes back: ${transaction}`, async t => {
      const assertNoStrayErrors = watchStrayErrors(t)
      const settled = collectSettled(t)
      const orm = await openOrm(t)
      const load = await startLoad(t, orm, transaction)
      for (let round = 0; round < 2; round++) {
        await load.until(status => status === 200)
        await server.crash()
        await load.until(status => status === 503)
        await server.start()
        await load.until(status => status === 200)
      }
      const seen = await load.stop()

      t.strictSame(new Set(seen.values()), new Set([200, 503]))
      const outcomes = new Map(settled.map(({ requestId, outcome }) => [requestId, outcome]))
      const written = await titles()
      const has = new Set(written)
      t.equal(has.size, written.length)
      const wrong = [...seen].filter(([title, status]) => {
        const outcome = outcomes.get(title)
        return status === 200
          ? !has.has(title) || outcome !== 'committed'
          : outcome === 'committed' || (has.has(title) && outcome !== 'commitFailed')
      })
      t.strictSame(wrong, [])
      t.strictSame(written.filter(title => !seen.has(title)), [])
      t.ok(settled.some(({ outcome }) => outcome === 'rolledBack'), 'some had not come to their commit')
      await assertPoolIsWhole(orm, POOL)
      t.strictSame(await query(engine.open), [])
      await assertNoStrayErrors()
    })
  }
}

const CLIENTS = 32
const REPLIES = 200

interface Load {
  /** Resolves when so many further clients have seen such a reply that every connection has been used since. */
  until (condition: (status: number) => boolean): Promise<void>
  /** Resolves with what each client has seen, by title. */
  stop (): Promise<Map<string, number>>
}

/** Clients that write a book each, again and again, half of them in a branch of their request. */
async function startLoad (t: Test, orm: Orm, transaction: TransactionMode): Promise<Load> {
  const seen = new Map<string, number>()
  const stopped = new AbortController()
  let note = (_status: number): void => {}
  const { app } = await startServer(t, { orm, transaction, server: { requestIdHeader: 'title', logger: false } }, app => {
    app.post('/:title', async request => {
      const { title } = request.params as { title: string }
      const write = async (): Promise<void> => {
        await em().count(Book)
        await em().insert(Book, { title })
      }
      await (title.endsWith('0') ? runInContext(write) : write())
      return 'ok'
    })
  })
  const client = async (number: number): Promise<void> => {
    for (let i = 0; !stopped.signal.aborted; i++) {
      const title = `${number}-${i}`
      const response = await fetch(`${app.listeningOrigin}/${title}`, { method: 'POST', headers: { title } })
      await response.text()
      if (response.status === 503) t.equal(response.headers.get('retry-after'), '1')
      seen.set(title, response.status)
      note(response.status)
    }
  }
  const clients = Promise.all(Array.from({ length: CLIENTS }, (_, number) => client(number)))
  return {
    until: condition => new Promise(resolve => {
      let left = REPLIES
      note = status => {
        if (condition(status) && --left === 0) resolve()
      }
    }),
    async stop () {
      stopped.abort()
      await clients
      return seen
    }
  }
}

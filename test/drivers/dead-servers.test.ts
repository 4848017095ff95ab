import { MikroORM } from '@mikro-orm/postgresql'
import pg from 'pg'
import t, { type Test } from 'tap'
import { em, runInContext, type TransactionMode } from '../../index.ts'
import { Author, Book, type Orm } from '../support/databases.ts'
import { startPostgres, type PostgresServer } from '../support/postgres-server.ts'
import { startServer } from '../support/server.ts'
import { collectSettled } from '../support/settled-events.ts'
import { watchStrayErrors } from '../support/stray-errors.ts'
import { terminateWhen } from '../support/terminate.ts'
import { until } from '../support/until.ts'
import { assertPoolIsWhole } from '../support/whole-pool.ts'

const POOL = 5

let postgres: PostgresServer

async function openOrm (t: Test): Promise<Orm> {
  const orm = await MikroORM.init({
    entities: [Author, Book], clientUrl: postgres.url, pool: { min: 0, max: POOL }, discovery: { warnWhenNoEntities: false }
  })
  t.teardown(() => orm.close())
  await orm.schema.refresh()
  return orm as unknown as Orm
}

async function query (sql: string): Promise<any[]> {
  const client = new pg.Client({ connectionString: postgres.url })
  await client.connect()
  try {
    return (await client.query(sql)).rows
  } finally {
    await client.end()
  }
}

const titles = async (): Promise<string[]> => (await query('select title from book')).map(row => row.title)

t.before(async () => {
  postgres = await startPostgres()
})
t.teardown(() => postgres.stop())

/** As long as a standby is asked for that is not there, commits are done, and wait to say so. */
async function withoutAnswersToCommits (run: () => Promise<void>): Promise<void> {
  const configure = async (standby: string): Promise<void> => {
    await query(`alter system set synchronous_standby_names = '${standby}'`)
    await query('select pg_reload_conf()')
    await until(async () => (await query('show synchronous_standby_names'))[0].synchronous_standby_names === standby)
  }
  await configure('nobody')
  try {
    await run()
  } finally {
    await configure('')
  }
}

t.test('a connection that dies when the commit is done, and not answered yet, leaves it in doubt', async t => {
  const assertNoStrayErrors = watchStrayErrors(t)
  const settled = collectSettled(t)
  const orm = await openOrm(t)
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      await em().insert(Book, { title: 'request' })
      return 'ok'
    })
  })
  await withoutAnswersToCommits(async () => {
    const response = post('/')
    await terminateWhen(postgres.url, "wait_event = 'SyncRep'")
    t.equal((await response).status, 503)
    t.equal((await response).headers.get('retry-after'), '1')

    const run = runInContext({ orm }, () => em().insert(Book, { title: 'run' }))
    const rejected = t.rejects(run)
    await terminateWhen(postgres.url, "wait_event = 'SyncRep'")
    await rejected
  })
  t.match(settled, [{ outcome: 'commitFailed' }, { outcome: 'commitFailed' }])
  t.equal(settled.length, 2)
  t.strictSame(await titles(), ['request', 'run'])
  await assertPoolIsWhole(orm, POOL)
  await assertNoStrayErrors()
})

const CLIENTS = 32
const REPLIES = 200

for (const transaction of ['on-write', 'on-query'] as const) {
  t.test(`a server that dies under load and comes back: ${transaction}`, async t => {
    const assertNoStrayErrors = watchStrayErrors(t)
    const settled = collectSettled(t)
    const orm = await openOrm(t)
    const load = await startLoad(t, orm, transaction)
    for (let round = 0; round < 2; round++) {
      await load.until(status => status === 200)
      await postgres.crash()
      await load.until(status => status === 503)
      await postgres.start()
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
    t.strictSame(await query("select state, query from pg_stat_activity where state not in ('idle', 'active')"), [])
    await assertNoStrayErrors()
  })
}

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

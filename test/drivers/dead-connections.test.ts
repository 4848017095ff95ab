import type { SqlEntityManager } from '@mikro-orm/sql'
import type { Test } from 'tap'
import { commit, em, runInContext, type TransactionMode } from '../../index.ts'
import { Book, onPostgres, type Orm, type TestDatabase } from '../support/databases.ts'
import { startServer } from '../support/server.ts'
import { collectSettled } from '../support/settled-events.ts'
import { watchStrayErrors } from '../support/stray-errors.ts'
import { terminateUnnoticed, terminateWhen } from '../support/terminate.ts'
import { assertPoolIsWhole } from '../support/whole-pool.ts'

/** A context whose connection dies, and what is to become of it. */
interface Death {
  /** Runs in the context. What it starts with `later` may still be at work when it has ended. */
  work (database: Database): Promise<unknown>
  /** Of the reply: 200 if it got over the death. */
  status: number
  outcome: 'committed' | 'rolledBack' | 'commitFailed'
  /** What is in the table afterwards. */
  titles?: string[]
}

interface Database extends TestDatabase {
  url: string
  later (work: Promise<void>): void
}

const sql = (): SqlEntityManager => em() as unknown as SqlEntityManager

async function pidOf (em: { execute (sql: string): Promise<any> }): Promise<number> {
  const [{ pid }] = await em.execute('select pg_backend_pid() as pid')
  return pid
}

/** The connection of the transaction dies, and this process has noticed when it resolves. */
async function dieBetweenStatements ({ url }: Database): Promise<void> {
  await terminateWhen(url, `pid = ${await pidOf(sql())}`)
}

async function dieUnnoticed ({ url }: Database): Promise<void> {
  await terminateUnnoticed(url, await pidOf(sql()))
}

const SLEEPING = "state = 'active' and query ~ '^(begin;)?select pg_sleep'"
const COMMITTING = "state = 'active' and query = 'commit' and wait_event = 'PgSleep'"

const DEATHS: Record<string, Death> = {
  'before BEGIN, and nobody has noticed': {
    async work ({ orm, url }) {
      const pid = await pidOf(orm.em.fork()) // on the only one that is idle
      await terminateUnnoticed(url, pid)
      await em().insert(Book, { title: 'Emma' })
    },
    status: 503,
    outcome: 'rolledBack'
  },
  'before BEGIN, and the pool has noticed': {
    async work ({ orm, url }) {
      const pid = await pidOf(orm.em.fork())
      await terminateWhen(url, `pid = ${pid}`)
      await em().insert(Book, { title: 'Emma' })
    },
    status: 200,
    outcome: 'committed',
    titles: ['Emma']
  },
  'before BEGIN, and is tried again': {
    async work ({ orm, url }) {
      const pid = await pidOf(orm.em.fork())
      await terminateUnnoticed(url, pid)
      await em().insert(Book, { title: 'lost' }).catch(() => {})
      await em().insert(Book, { title: 'Emma' })
    },
    status: 200,
    outcome: 'committed',
    titles: ['Emma']
  },
  'in a statement': {
    async work ({ url, later }) {
      await em().insert(Book, { title: 'Emma' })
      later(terminateWhen(url, SLEEPING))
      await sql().execute('select pg_sleep(60)')
    },
    status: 503,
    outcome: 'rolledBack'
  },
  'in a statement, while others wait for their turns': {
    async work ({ url, later }) {
      await em().insert(Book, { title: 'Emma' })
      later(terminateWhen(url, SLEEPING))
      const titles = ['Persuasion', 'Sanditon', 'Lady Susan']
      await Promise.all([sql().execute('select pg_sleep(60)'), ...titles.map(title => em().insert(Book, { title }))])
    },
    status: 503,
    outcome: 'rolledBack'
  },
  'in a read': {
    async work ({ orm, url, later }) {
      const blocker = orm.em.fork()
      await blocker.begin()
      await blocker.execute('lock table book in access exclusive mode')
      later(terminateWhen(url, "wait_event_type = 'Lock' and query ~ '^(begin;)?select count'").finally(() => blocker.rollback()))
      await em().count(Book)
    },
    status: 503,
    outcome: 'rolledBack'
  },
  'in a flush': {
    async work ({ url, orm, later }) {
      const blocker = orm.em.fork()
      await blocker.begin()
      await blocker.execute('lock table book in access exclusive mode')
      later(terminateWhen(url, "wait_event_type = 'Lock' and query ~ '^(begin;)?insert'").finally(() => blocker.rollback()))
      em().create(Book, { title: 'Emma' })
    },
    status: 503,
    outcome: 'rolledBack'
  },
  'between statements': {
    async work (database) {
      await em().insert(Book, { title: 'Emma' })
      await dieBetweenStatements(database)
      await em().insert(Book, { title: 'Persuasion' })
    },
    status: 503,
    outcome: 'rolledBack'
  },
  'between statements, and nobody has noticed': {
    async work (database) {
      await em().insert(Book, { title: 'Emma' })
      await dieUnnoticed(database)
      await em().insert(Book, { title: 'Persuasion' })
    },
    status: 503,
    outcome: 'rolledBack'
  },
  'between statements, and the error is passed over': {
    async work (database) {
      await em().insert(Book, { title: 'Emma' })
      await dieBetweenStatements(database)
      await em().insert(Book, { title: 'Persuasion' }).catch(() => {})
    },
    status: 500,
    outcome: 'commitFailed'
  },
  'in an em.transactional() whose error is passed over': {
    async work (database) {
      await em().insert(Book, { title: 'Emma' })
      await em().transactional(async () => {
        await em().insert(Book, { title: 'Persuasion' })
        await dieBetweenStatements(database)
      }).catch(() => {})
    },
    status: 500,
    outcome: 'commitFailed'
  },
  'before COMMIT': {
    async work (database) {
      await em().insert(Book, { title: 'Emma' })
      await dieBetweenStatements(database)
    },
    status: 503,
    outcome: 'commitFailed'
  },
  'before COMMIT, and nobody has noticed': {
    async work (database) {
      await em().insert(Book, { title: 'Emma' })
      await dieUnnoticed(database)
    },
    status: 503,
    outcome: 'commitFailed'
  },
  'during COMMIT': {
    async work ({ url, later }) {
      await em().insert(Book, { title: 'slow' })
      later(terminateWhen(url, COMMITTING))
    },
    status: 503,
    outcome: 'commitFailed'
  },
  'during a COMMIT by hand, whose error is passed over': {
    async work ({ url, later }) {
      await em().insert(Book, { title: 'slow' })
      later(terminateWhen(url, COMMITTING))
      await commit().catch(() => {})
      await em().insert(Book, { title: 'Emma' })
    },
    status: 200,
    outcome: 'committed',
    titles: ['Emma']
  },
  'before ROLLBACK': {
    async work (database) {
      await em().insert(Book, { title: 'Emma' })
      await dieBetweenStatements(database)
      throw new Error('no')
    },
    status: 500,
    outcome: 'rolledBack'
  },
  'before ROLLBACK, and nobody has noticed': {
    async work (database) {
      await em().insert(Book, { title: 'Emma' })
      await dieUnnoticed(database)
      throw new Error('no')
    },
    status: 500,
    outcome: 'rolledBack'
  }
}

const POOL = 5

type Run = () => Promise<void>

/** Ways to run `work` in a context, and what whoever runs it is told. */
const WAYS: Record<string, (t: Test, orm: Orm, transaction: TransactionMode, work: Run) => Promise<(t: Test, death: Death) => Promise<void>>> = {
  async 'a request' (t, orm, transaction, work) {
    const { post } = await startServer(t, { orm, transaction }, app => {
      app.post('/', async () => {
        await work()
        return { ok: true }
      })
    })
    return async (t, { status }) => {
      const response = await post('/')
      t.equal(response.status, status)
      t.equal(response.headers.get('retry-after'), status === 503 ? '1' : null)
    }
  },
  async 'runInContext()' (_t, orm, transaction, work) {
    return async (t, { status }) => {
      const run = runInContext({ orm, transaction }, work)
      if (status === 200) await run
      else await t.rejects(run)
    }
  }
}

for (const transaction of ['on-write', 'on-query'] as const) {
  for (const [way, open] of Object.entries(WAYS)) {
    onPostgres(`${way}, ${transaction}, and a connection that dies`, async (t, database) => {
      const assertNoStrayErrors = watchStrayErrors(t)
      const settled = collectSettled(t)
      const { orm, observe, titles } = database
      await sleepInCommits(orm)
      const url = orm.config.get('clientUrl')!
      let death: Death
      let later: Promise<void> | undefined
      const run = await open(t, orm, transaction, async () => {
        await death.work({ ...database, url, later (work) { later = work } })
      })
      for (const when of Object.keys(DEATHS)) {
        await t.test(when, async t => {
          death = DEATHS[when]!
          settled.length = 0
          later = undefined
          await run(t, death)
          await later
          await assertPoolIsWhole(orm, POOL)
          t.match(settled, [{ outcome: death.outcome }])
          t.equal(settled.length, 1)
          t.strictSame(await titles(), death.titles ?? [])
          t.strictSame(await observe(OPEN), [])
          await orm.em.fork().nativeDelete(Book, {})
        })
      }
      await assertNoStrayErrors()
    })
  }
}

const OPEN = "select state, query from pg_stat_activity where datname = current_database() and backend_type = 'client backend' and state <> 'idle' and pid <> pg_backend_pid()"

/** Makes the commit take its time of whoever has inserted a book called `slow`. */
async function sleepInCommits (orm: Orm): Promise<void> {
  await orm.em.fork().execute(`
    create function sleep () returns trigger language plpgsql as $$ begin perform pg_sleep(60); return new; end $$;
    create constraint trigger sleep after insert on book deferrable initially deferred
      for each row when (new.title = 'slow') execute function sleep();
  `)
}

onPostgres('a connection that dies while others wait for it makes way for them', async (t, { another, titles }) => {
  const assertNoStrayErrors = watchStrayErrors(t)
  const orm = await another({ pool: { min: 0, max: 1 } })
  const url = orm.config.get('clientUrl')!
  const { post } = await startServer(t, { orm }, app => {
    app.post('/:title', async request => {
      const { title } = request.params as { title: string }
      await em().insert(Book, { title })
      return 'ok'
    })
  })
  const pid = Promise.withResolvers<number>()
  const holder = runInContext({ orm }, async () => {
    await em().insert(Book, { title: 'lost' })
    pid.resolve(await pidOf(sql()))
    await sql().execute('select pg_sleep(60)')
  })
  const lost = t.rejects(holder)
  await pid.promise
  const waiting = [post('/Emma'), post('/Persuasion'), runInContext({ orm }, () => em().insert(Book, { title: 'Sanditon' }))] as const
  await terminateWhen(url, `pid = ${await pid.promise}`)
  await lost
  const [first, second] = await Promise.all(waiting)
  t.strictSame([first.status, second.status], [200, 200])
  t.strictSame(await titles(), ['Emma', 'Persuasion', 'Sanditon'])
  await assertPoolIsWhole(orm, 1)
  await assertNoStrayErrors()
})

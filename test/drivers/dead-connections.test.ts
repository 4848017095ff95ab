import type { SqlEntityManager } from '@mikro-orm/sql'
import type { Test } from 'tap'
import { commit, em, runInContext, type TransactionMode } from '../../index.ts'
import { Book, onEachPool, type Orm, type TestPool } from '../support/databases.ts'
import { delayCommits, isCommitting } from '../support/delayed-commits.ts'
import { lockBooks } from '../support/locked-books.ts'
import { isBusy, isSleeping, untilNone, untilOne, type Is } from '../support/server-connections.ts'
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

interface Database extends TestPool {
  later (work: Promise<void>): void
}

const sql = (): SqlEntityManager => em() as unknown as SqlEntityManager

async function idOf (em: { execute (sql: string): Promise<any> }, { ownId }: Pick<TestPool, 'ownId'>): Promise<number> {
  return (await em.execute(ownId))[0].id
}

/** The connection of the transaction dies, and this process has noticed when it resolves. */
async function dieBetweenStatements (database: Database): Promise<void> {
  await database.kill(await idOf(sql(), database))
}

async function dieUnnoticed (database: Database): Promise<void> {
  await terminateUnnoticed(database, await idOf(sql(), database))
}

/** Such a statement, which waits for a lock. */
const waits = (start: string): Is => ({ sql, isBlocked }) => isBlocked && sql !== null && sql.startsWith(start)

const DEATHS: Record<string, Death> = {
  'before BEGIN, and nobody has noticed': {
    async work (database) {
      await terminateUnnoticed(database, await idOf(database.orm.em.fork(), database)) // on the only one that is idle
      await em().insert(Book, { title: 'Emma' })
    },
    status: 503,
    outcome: 'rolledBack'
  },
  'before BEGIN, and the pool has noticed': {
    async work (database) {
      await database.kill(await idOf(database.orm.em.fork(), database))
      await em().insert(Book, { title: 'Emma' })
    },
    status: 200,
    outcome: 'committed',
    titles: ['Emma']
  },
  'before BEGIN, and is tried again': {
    async work (database) {
      await terminateUnnoticed(database, await idOf(database.orm.em.fork(), database))
      await em().insert(Book, { title: 'lost' }).catch(() => {})
      await em().insert(Book, { title: 'Emma' })
    },
    status: 200,
    outcome: 'committed',
    titles: ['Emma']
  },
  'in a statement': {
    async work (database) {
      await em().insert(Book, { title: 'Emma' })
      database.later(terminateWhen(database, isSleeping))
      await sql().execute(database.sleep())
    },
    status: 503,
    outcome: 'rolledBack'
  },
  'in a statement, while others wait for their turns': {
    async work (database) {
      await em().insert(Book, { title: 'Emma' })
      database.later(terminateWhen(database, isSleeping))
      const titles = ['Persuasion', 'Sanditon', 'Lady Susan']
      await Promise.all([sql().execute(database.sleep()), ...titles.map(title => em().insert(Book, { title }))])
    },
    status: 503,
    outcome: 'rolledBack'
  },
  'in a read': {
    async work (database) {
      const unlock = await lockBooks(database)
      database.later(terminateWhen(database, waits('select count')).finally(unlock))
      await em().count(Book)
    },
    status: 503,
    outcome: 'rolledBack'
  },
  'in a flush': {
    async work (database) {
      const unlock = await lockBooks(database)
      database.later(terminateWhen(database, waits('insert')).finally(unlock))
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
    async work (database) {
      await em().insert(Book, { title: 'slow' })
      database.later(terminateWhen(database, isCommitting))
    },
    status: 503,
    outcome: 'commitFailed'
  },
  'during a COMMIT by hand, whose error is passed over': {
    async work (database) {
      await em().insert(Book, { title: 'slow' })
      database.later(terminateWhen(database, isCommitting))
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
    onEachPool(`${way}, ${transaction}, and a connection that dies`, async (t, database) => {
      const assertNoStrayErrors = watchStrayErrors(t)
      const settled = collectSettled(t)
      const { orm, titles } = database
      const release = await delayCommits(database, 'slow')
      const blocker = await untilOne(database, isBusy)
      let death: Death
      let later: Promise<void> | undefined
      const run = await open(t, orm, transaction, async () => {
        await death.work({ ...database, later (work) { later = work } })
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
          await untilNone(database, connection => connection.id !== blocker.id && isBusy(connection))
          await orm.em.fork().nativeDelete(Book, {})
        })
      }
      await release()
      await assertNoStrayErrors()
    })
  }
}

onEachPool('a connection that dies while others wait for it makes way for them', async (t, database) => {
  const { another, kill, sleep, titles } = database
  const assertNoStrayErrors = watchStrayErrors(t)
  const orm = await another({ pool: { min: 0, max: 1 } })
  const { post } = await startServer(t, { orm }, app => {
    app.post('/:title', async request => {
      const { title } = request.params as { title: string }
      await em().insert(Book, { title })
      return 'ok'
    })
  })
  const id = Promise.withResolvers<number>()
  const holder = runInContext({ orm }, async () => {
    await em().insert(Book, { title: 'lost' })
    id.resolve(await idOf(sql(), database))
    await sql().execute(sleep())
  })
  const lost = t.rejects(holder)
  await id.promise
  const waiting = [post('/Emma'), post('/Persuasion'), runInContext({ orm }, () => em().insert(Book, { title: 'Sanditon' }))] as const
  await kill(await id.promise)
  await lost
  const [first, second] = await Promise.all(waiting)
  t.strictSame([first.status, second.status], [200, 200])
  t.strictSame(await titles(), ['Emma', 'Persuasion', 'Sanditon'])
  await assertPoolIsWhole(orm, 1)
  await assertNoStrayErrors()
})

import { IsolationLevel, OptimisticLockError, TransactionPropagation } from '@mikro-orm/core'
import type { SqlEntityManager } from '@mikro-orm/sql'
import { afterCommit, afterRollback, atomic, beforeCommit, commit, em, runInContext } from '../../index.ts'
import { conflict } from '../support/conflict.ts'
import { Author, Book, onEachDatabase, onEachPool, onPostgres, onSqlite } from '../support/databases.ts'
import { delayCommits, isCommitting } from '../support/delayed-commits.ts'
import { refuseCommits } from '../support/refused-commits.ts'
import { collectSettled } from '../support/settled-events.ts'
import { terminateWhen } from '../support/terminate.ts'

const NOW = { delay: () => 0 }

onEachDatabase('work that fails because of others is run again in a new context, and what it did before is rolled back', async (t, { orm, titles, taken, kind }) => {
  const ran: string[] = []
  const settled = collectSettled(t)
  const ems = new Set<unknown>()
  let runs = 0
  const result = await runInContext({ orm, retry: 3, name: 'job' }, async () => {
    ems.add(em())
    const n = ++runs
    afterCommit(() => { ran.push(`commit ${n}`) })
    afterRollback(() => { ran.push(`rollback ${n}`) })
    em().create(Book, { title: `of ${n}` })
    await em().flush()
    if (n < 3) await conflict(kind)
    return n
  })
  t.equal(result, 3)
  t.equal(ems.size, 3)
  t.strictSame(await titles(), ['of 3'])
  t.strictSame(ran, ['rollback 1', 'rollback 2', 'commit 3'])
  t.match(settled, [
    { name: 'job', outcome: 'rolledBack', ending: 'throw', attempts: 1 }, { outcome: 'rolledBack', attempts: 2 }, { outcome: 'committed', attempts: 3 }
  ])
  for (const old of [...ems].slice(0, 2)) await t.rejects((old as ReturnType<typeof em>).find(Book, {}), { code: 'FST_ORM_CONTEXT_ENDED' })
  t.equal(taken(), 0)
})

onEachDatabase('the last attempt fails with what the database said, and the delay is asked between them', async (t, { orm, titles, kind, taken }) => {
  const delays: number[] = []
  let runs = 0
  await t.rejects(runInContext({ orm, retry: { attempts: 3, delay: attempt => delays.push(attempt) && 0 } }, async () => {
    runs++
    await em().insert(Book, { title: 'Emma' })
    await conflict(kind)
  }), { code: kind === 'mariadb' ? 'ER_LOCK_DEADLOCK' : kind === 'sqlite' ? 'SQLITE_BUSY' : '40001' })
  t.equal(runs, 3)
  t.strictSame(delays, [1, 2])
  t.strictSame(await titles(), [])
  t.equal(taken(), 0)
})

onEachDatabase('nothing else is run again, unless `when` says so', async (t, { orm, kind }) => {
  const run = async (error: unknown, when?: (error: unknown) => boolean): Promise<number> => {
    let runs = 0
    await runInContext({ orm, retry: { attempts: 2, when, ...NOW } }, async () => {
      runs++
      await em().count(Book)
      throw error
    }).catch(() => {})
    return runs
  }
  t.equal(await run(new Error('no')), 1)
  t.equal(await run(new OptimisticLockError('late')), 1)
  t.equal(await run(new OptimisticLockError('late'), error => error instanceof OptimisticLockError), 2)
  t.equal(await run('no error'), 1)
  t.equal(await run('no error', error => error === 'no error'), 2)
  const circle = new Error('circle')
  circle.cause = circle
  t.equal(await run(circle), 1)
  let runs = 0
  await runInContext({ orm, retry: { attempts: 2, ...NOW } }, async () => {
    if (++runs === 1) await conflict(kind).catch(cause => { throw new Error('the service says no', { cause }) })
  })
  t.equal(runs, 2, 'what lies behind an error counts')
})

onEachDatabase('a flush, a hook and a commit that fail belong to the attempt', async (t, { orm, titles, kind }) => {
  let hooks = 0
  await runInContext({ orm, retry: { attempts: 3, ...NOW } }, async () => {
    em().create(Book, { title: 'Emma' })
    beforeCommit(async () => { if (++hooks < 3) await conflict(kind) })
  })
  t.equal(hooks, 3)
  t.strictSame(await titles(), ['Emma'])
})

onPostgres('a serialization failure at the commit is run again', async (t, { orm, another, titles }) => {
  const rival = await another()
  let runs = 0
  await runInContext({ orm, isolationLevel: 'serializable', retry: { attempts: 2, ...NOW } }, async () => {
    const count = await em().count(Book)
    if (++runs === 1) {
      await rival.em.fork().transactional(async em => {
        await em.insert(Book, { title: `rival ${await em.count(Book)}` })
      }, { isolationLevel: IsolationLevel.SERIALIZABLE })
    }
    await em().insert(Book, { title: `mine ${count}` })
  })
  t.equal(runs, 2)
  t.strictSame(await titles(), ['mine 1', 'rival 0'])
})

const WAYS: Array<[string, () => Promise<unknown>]> = [
  ['commit()', async () => {
    await em().insert(Book, { title: 'kept' })
    await commit()
  }],
  ['atomic()', () => atomic(() => em().insert(Book, { title: 'kept' }))],
  ['runInContext()', () => runInContext(() => em().insert(Book, { title: 'kept' }))],
  ['runInContext() without a transaction', () => runInContext({ transaction: false }, () => { em().create(Book, { title: 'kept' }) })],
  ['a statement of its own there', () => runInContext({ transaction: false }, () => em().insert(Book, { title: 'kept' }))],
  ['REQUIRES_NEW', () => em().transactional(em => em.insert(Book, { title: 'kept' }), { propagation: 'requires_new' as any })],
  ['NOT_SUPPORTED', () => em().transactional(async em => { await em.insert(Book, { title: 'kept' }) }, { propagation: 'not_supported' as any })]
]

for (const [what, keep] of WAYS) {
  onEachPool(`after ${what}, it would be done twice, and is refused`, async (t, { orm, titles, kind }) => {
    let runs = 0
    await t.rejects(runInContext({ orm, name: 'job', retry: { attempts: 3, ...NOW } }, async () => {
      runs++
      await keep()
      await conflict(kind)
    }), { code: 'FST_ORM_NOT_RETRIABLE', statusCode: 503, message: /^job has failed .* it has committed something already/, cause: { code: /40001|ER_LOCK_DEADLOCK/ } })
    t.equal(runs, 1)
    t.strictSame(await titles(), ['kept'])
  })
}

onEachPool('what commits by itself and then fails would be done twice as well', async (t, { orm, titles, kind }) => {
  let runs = 0
  await t.rejects(runInContext({ orm, retry: { attempts: 3, ...NOW } }, async () => {
    runs++
    await em().transactional(async em => {
      await em.insert(Book, { title: 'kept' })
      await conflict(kind)
    }, { propagation: TransactionPropagation.NOT_SUPPORTED })
  }), { code: 'FST_ORM_NOT_RETRIABLE' })
  t.equal(runs, 1)
  t.strictSame(await titles(), ['kept'])
})

onEachPool('what only reads without a transaction is no obstacle', async (t, { orm, kind }) => {
  let runs = 0
  await runInContext({ orm, retry: { attempts: 2, ...NOW } }, async () => {
    await em().transactional(em => em.count(Book), { propagation: TransactionPropagation.NOT_SUPPORTED })
    await runInContext({ transaction: false }, () => em().count(Book))
    if (++runs === 1) await conflict(kind)
  })
  t.equal(runs, 2)
})

onEachPool('one that was to be the last is no less a conflict, though something is committed', async (t, { orm, kind }) => {
  await t.rejects(runInContext({ orm, retry: 1 }, async () => {
    await em().insert(Book, { title: 'kept' })
    await commit()
    await conflict(kind)
  }), { code: /40001|ER_LOCK_DEADLOCK/ })
})

onPostgres('a commit that succeeds in part stays one that is known to', async (t, { orm, another, observe }) => {
  const audit = await another({ contextName: 'audit' })
  await observe("create function fail() returns trigger language plpgsql as $$ begin raise exception 'a conflict' using errcode = '40001'; end $$")
  await observe('create constraint trigger fails after insert on book deferrable initially deferred for each row execute function fail()')
  let runs = 0
  await t.rejects(runInContext({ orm: [orm, audit], retry: { attempts: 2, ...NOW } }, async () => {
    runs++
    await em().insert(Author, { name: 'Austen' })
    await em('audit').insert(Book, { title: 'Emma' })
  }), { code: 'FST_ORM_PARTIAL_COMMIT', committed: ['default'], notCommitted: ['audit'], cause: { code: '40001' } })
  t.equal(runs, 1)
})

onEachPool('what was only read in a commit or a context inside is no obstacle', async (t, { orm, kind }) => {
  let runs = 0
  await runInContext({ orm, transaction: 'on-query', retry: { attempts: 2, ...NOW } }, async () => {
    await em().count(Book)
    await commit()
    await runInContext({ isolationLevel: 'repeatable read' }, () => em().count(Book))
    if (++runs === 1) await conflict(kind)
  })
  t.equal(runs, 2)
})

onEachDatabase('inside work that has retry, only that is run again', async (t, { orm, titles, kind }) => {
  const runs = { outer: 0, inner: 0, atomic: 0 }
  await runInContext({ orm, retry: { attempts: 3, ...NOW } }, async () => {
    runs.outer++
    await runInContext({ retry: { attempts: 5, ...NOW } }, async () => {
      if (++runs.inner === 1) await conflict(kind)
    })
    await atomic(async () => {
      if (++runs.atomic === 1) await conflict(kind)
      await em().insert(Book, { title: 'Emma' })
    }, { retry: { attempts: 5, ...NOW } })
  })
  t.strictSame(runs, { outer: 3, inner: 3, atomic: 2 })
  t.strictSame(await titles(), ['Emma'])
})

onEachDatabase('a signal ends the wait for the next attempt, with its reason', async (t, { orm, kind }) => {
  const start = performance.now()
  const controller = new AbortController()
  const reason = new Error('enough')
  let runs = 0
  await t.rejects(runInContext({
    orm,
    signal: controller.signal,
    retry: {
      delay () {
        setTimeout(() => controller.abort(reason), 20)
        return 2 ** 40 // Node itself takes that for 1 ms
      }
    }
  }, async () => {
    runs++
    await conflict(kind)
  }), reason)
  t.equal(runs, 1)
  t.ok(performance.now() - start < 30_000, 'before the delay is over')

  const early = new AbortController()
  await t.rejects(runInContext({ orm, signal: early.signal, retry: NOW }, async () => {
    await em().count(Book)
    early.abort(reason)
    await conflict(kind)
  }), reason, 'and none begins when it was aborted before')
})

onSqlite('a delay that is none is an error', async (t, { orm, kind }) => {
  for (const delay of [-1, NaN, '5', undefined] as any[]) {
    await t.rejects(runInContext({ orm, name: 'job', retry: { delay: () => delay } }, () => conflict(kind)), {
      code: 'FST_ORM_BAD_OPTION', message: /^job: the option "retry.delay" takes a function that returns a number of milliseconds/
    })
  }
})

onSqlite('what retry takes', async (t, { orm }) => {
  const bad: Array<[retry: any, message: RegExp]> = [
    [0, /"retry" takes how often it is run at most/],
    [1.5, /"retry" takes/],
    [true, /"retry" takes/],
    [null, /"retry" takes/],
    [{ attempts: 0 }, /retry: the option "attempts" takes a whole number, 1 or more, got 0/],
    [{ delay: 5 }, /retry: the option "delay" takes a function/],
    [{ when: 'always' }, /retry: the option "when" takes a function/],
    [{ times: 3 }, /retry: the option "times" takes no value/]
  ]
  for (const [retry, message] of bad) {
    await t.rejects(runInContext({ orm, retry }, () => {}), { code: 'FST_ORM_BAD_OPTION', message })
    await runInContext({ orm }, () => t.rejects(atomic(() => {}, { retry }), { code: 'FST_ORM_BAD_OPTION', message }))
  }
  await t.rejects(runInContext({ orm, retry: 2, transaction: false }, () => {}), { message: /"retry" takes a transaction .* got transaction: false/ })
  await runInContext({ orm }, () => t.rejects(atomic(() => {}, { retry: 2, existing: 'join' }), { message: /"retry" takes a transaction that can be run again as a whole/ }))
  t.equal(await runInContext({ orm, retry: 1 }, () => 5), 5)
})

onEachPool('what has perhaps been committed beside it is not done again', async (t, database) => {
  const release = await delayCommits(database, 'Emma')
  const terminated = terminateWhen(database, isCommitting)
  let runs = 0
  await t.rejects(runInContext({ orm: database.orm, retry: { ...NOW, attempts: 2, when: () => true } }, async () => {
    runs++
    if (runs === 1) await em().transactional(async own => await own.insert(Book, { title: 'Emma' }), { propagation: TransactionPropagation.REQUIRES_NEW })
  }))
  await terminated
  await release()
  t.equal(runs, 1)
})

onEachPool('and what was refused beside it is', async (t, database) => {
  await refuseCommits(database)
  let runs = 0
  await runInContext({ orm: database.orm, retry: { ...NOW, attempts: 2, when: () => true } }, async () => {
    runs++
    if (runs === 1) await em().transactional(async own => await (own as SqlEntityManager).execute('insert into review (book_id) values (99)'), { propagation: TransactionPropagation.REQUIRES_NEW })
  })
  t.equal(runs, 2)
})

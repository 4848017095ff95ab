import { afterCommit, atomic, commit, em, rollback, runInContext } from '../../index.ts'
import { conflict } from '../support/conflict.ts'
import { Book, onEachDatabase } from '../support/databases.ts'
import { collectSettled } from '../support/settled-events.ts'

const RETRY = { attempts: 3, delay: () => 0 }

onEachDatabase('atomic() with retry commits what was there before, and runs in contexts of its own', async (t, { orm, titles, kind, taken }) => {
  const settled = collectSettled(t)
  const ran: string[] = []
  let runs = 0
  await runInContext({ orm, name: 'job' }, async () => {
    const outer = em()
    em().create(Book, { title: 'before' })
    const result = await atomic(async () => {
      t.not(em(), outer)
      const n = ++runs
      afterCommit(() => { ran.push(`commit ${n}`) })
      await em().insert(Book, { title: 'inside' })
      await t.rejects(commit(), { code: 'FST_ORM_TRANSACTION_OPEN' })
      await t.rejects(rollback(), { code: 'FST_ORM_TRANSACTION_OPEN' })
      await t.rejects(atomic(() => {}), { code: 'FST_ORM_TRANSACTION_OPEN' })
      if (n < 3) await conflict(kind)
      return n
    }, { retry: RETRY })
    t.equal(result, 3)
    t.equal(em(), outer)
    t.strictSame(await titles(), ['before', 'inside'])
    em().create(Book, { title: 'after' })
  })
  t.strictSame(await titles(), ['after', 'before', 'inside'])
  t.strictSame(ran, ['commit 3'])
  t.match(settled.map(({ name, attempts }) => [name, attempts]), [['atomic() of job', 1], ['atomic() of job', 2], ['atomic() of job', 3], ['job', 1]])
  t.equal(taken(), 0)
})

onEachDatabase('an atomic() with retry that fails leaves its context as it was', async (t, { orm, titles, kind }) => {
  await runInContext({ orm }, async () => {
    em().create(Book, { title: 'before' })
    await t.rejects(atomic(() => conflict(kind), { existing: 'reject', retry: RETRY }), { code: 'FST_ORM_TRANSACTION_OPEN' })
    await t.rejects(atomic(async () => {
      await em().insert(Book, { title: 'inside' })
      throw new Error('no')
    }, { retry: RETRY }), { message: 'no' })
    em().create(Book, { title: 'dropped' })
    await atomic(() => em().insert(Book, { title: 'inside' }), { existing: 'rollback', retry: RETRY })
    await em().transactional(() => t.rejects(atomic(() => {}, { retry: RETRY }), { code: 'FST_ORM_TRANSACTION_OPEN' }))
    em().create(Book, { title: 'after' })
  })
  t.strictSame(await titles(), ['after', 'before', 'inside'])
})

onEachDatabase('an atomic() with retry ends with its context, between two attempts and in one', async (t, { orm, titles, kind, taken }) => {
  for (const when of ['between', 'in one']) {
    const aborted = new AbortController()
    const reached = Promise.withResolvers<void>()
    const goOn = Promise.withResolvers<void>()
    let runs = 0
    let atomically: Promise<void> | undefined
    const delay = (): number => {
      reached.resolve()
      return 60_000
    }
    const running = t.rejects(runInContext({ orm, signal: aborted.signal, name: 'job' }, async () => {
      atomically = atomic(async () => {
        runs++
        await em().insert(Book, { title: 'Emma' })
        if (when === 'between') await conflict(kind)
        reached.resolve()
        await goOn.promise
      }, { retry: { attempts: 3, delay } })
      await atomically
    }), { message: 'enough' })
    await reached.promise
    aborted.abort(new Error('enough'))
    await running
    goOn.resolve()
    await t.rejects(atomically!, { code: 'FST_ORM_CONTEXT_ENDED', message: /job/ }, when)
    t.equal(runs, 1)
    t.equal(taken(), 0)
  }
  t.strictSame(await titles(), [])
})

import fc from 'fast-check'
import { em, runInContext } from '../../index.ts'
import { Book, onEachDatabase } from '../support/databases.ts'

onEachDatabase('parallel em.transactional() of one context each keep or lose what is theirs', async (t, { orm, titles }) => {
  const fails = fc.array(fc.boolean(), { minLength: 2, maxLength: 5 })
  let count = 0
  await fc.assert(fc.asyncProperty(fails, fails, async (outer, inner) => {
    const run = String(++count)
    const expected: string[] = []
    const fail = (): never => { throw new Error('planned') }
    await runInContext({ orm }, async () => {
      await Promise.allSettled(outer.map((outerFails, i) => em().transactional(async a => {
        await a.insert(Book, { title: `${run}/${i}` })
        if (!outerFails) expected.push(`${run}/${i}`)
        await Promise.allSettled(inner.map((innerFails, j) => a.transactional(async b => {
          b.create(Book, { title: `${run}/${i}/${j}` })
          await b.flush()
          if (!outerFails && !innerFails) expected.push(`${run}/${i}/${j}`)
          if (innerFails) fail()
        })))
        if (outerFails) fail()
      })))
    })
    const written = await titles()
    await orm.em.fork().nativeDelete(Book, {})
    return JSON.stringify(written) === JSON.stringify(expected.sort())
  }), { numRuns: 40 })
  t.equal(count, 40)
})

onEachDatabase('a rollback to a savepoint that takes parallel writes along is no silent loss', async (t, { orm, titles, taken }) => {
  const run = (beside: (manager: any) => Promise<unknown>, fails = true): Promise<void> => runInContext({ orm }, async () => {
    const outer: any = em()
    const started = Promise.withResolvers<void>()
    const go = Promise.withResolvers<void>()
    const inner = em().transactional(async inner => {
      await inner.insert(Book, { title: 'inner' })
      started.resolve()
      await go.promise
      if (fails) throw new Error('no')
    }).catch(() => {})
    await started.promise
    await beside(outer)
    go.resolve()
    await inner
  })
  await t.rejects(run(manager => manager.insert(Book, { title: 'beside' })), {
    code: 'FST_ORM_TRANSACTION_FAILED', cause: { message: /An em\.transactional\(\) was rolled back, and took along what was written outside of it/ }
  })
  t.strictSame(await titles(), [])
  await run(manager => manager.count(Book))
  t.strictSame(await titles(), [], 'a read beside it loses nothing')
  await run(manager => manager.insert(Book, { title: 'beside' }), false)
  t.strictSame(await titles(), ['beside', 'inner'], 'nor does a write, if nothing is rolled back')
  t.equal(taken(), 0)
})

onEachDatabase('what an em.transactional() leaves running can open another one, which is part of the context', async (t, { orm, titles }) => {
  await runInContext({ orm }, async () => {
    const go = Promise.withResolvers<void>()
    let late: Promise<unknown> | undefined
    await em().transactional(async inner => {
      await inner.insert(Book, { title: 'inner' })
      late = go.promise.then(() => inner.transactional(own => own.insert(Book, { title: 'late' })))
    })
    const sibling = em().transactional(own => own.insert(Book, { title: 'sibling' }))
    go.resolve()
    await Promise.all([late, sibling])
  })
  t.strictSame(await titles(), ['inner', 'late', 'sibling'])
})

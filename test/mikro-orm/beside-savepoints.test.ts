import type { Test } from 'tap'
import { afterRollback, em, runInContext } from '../../index.ts'
import { Book, onEachDatabase, onEveryEngine, type TestDatabase } from '../support/databases.ts'

onEachDatabase('what is written beside an em.transactional() that begins is no silent loss', async (t, database) => await writeBeside(t, database, false))

onEachDatabase('what is written beside an em.transactional() that goes back is no silent loss', async (t, database) => await writeBeside(t, database, true))

onEveryEngine('what still comes from an em.transactional() that was rolled back is refused, and not what its hooks write', async (t, { orm, titles }) => {
  await runInContext({ orm, name: 'job' }, async () => {
    const failed = Promise.withResolvers<void>()
    const late: Array<Promise<unknown>> = []
    await em().transactional(async inner => {
      await inner.insert(Book, { title: 'in time' })
      late.push(failed.promise.then(() => inner.insert(Book, { title: 'late' })))
      await inner.transactional(async innermost => {
        late.push(failed.promise.then(() => innermost.insert(Book, { title: 'late, from inside' })))
        await innermost.insert(Book, { title: 'inside' })
      })
      afterRollback(() => inner.insert(Book, { title: 'of a hook' }))
      throw new Error('no')
    }).catch(() => {})
    failed.resolve()
    for (const promise of late) await t.rejects(promise, { code: 'FST_ORM_CONTEXT_ENDED', message: /^an em\.transactional\(\) of job has ended \(rolledBack\).* late/ })
    await em().transactional(inner => inner.insert(Book, { title: 'after' }))
  })
  t.strictSame(await titles(), ['after', 'of a hook'])
})

/** It may come in any moment: each step is a moment later. */
async function writeBeside (t: Test, { orm, titles }: Pick<TestDatabase, 'orm' | 'titles'>, isEnding: boolean): Promise<void> {
  for (let steps = 0; steps < 60; steps += 2) {
    const lost = await runInContext({ orm }, async () => {
      await em().insert(Book, { title: `before ${steps}` })
      const go = Promise.withResolvers<void>()
      const failing = Promise.withResolvers<void>()
      const nested = em().transactional(async inner => {
        await inner.insert(Book, { title: `inner ${steps}` })
        failing.resolve()
        if (!isEnding) await go.promise
        throw new Error('no')
      }).catch(() => {})
      if (isEnding) await failing.promise
      for (let step = 0; step < steps; step++) await null
      await em().insert(Book, { title: `beside ${steps}` })
      go.resolve()
      await nested
    }).then(() => false, ({ code }) => code === 'FST_ORM_TRANSACTION_FAILED')
    t.equal((await titles()).includes(`beside ${steps}`), !lost, `after ${steps} steps`)
  }
}

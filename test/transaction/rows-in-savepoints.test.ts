import type { SqlEntityManager } from '@mikro-orm/sql'
import type { Test } from 'tap'
import { em, runInContext } from '../../index.ts'
import { Book, onEachDatabase, type TestDatabase } from '../support/databases.ts'

onEachDatabase('an em.transactional() that throws while rows are still read in it goes back, and cuts them', async (t, database) => await leaveRows(t, database, 'throws'))

onEachDatabase('so does one that returns', async (t, database) => await leaveRows(t, database, 'returns'))

async function leaveRows (t: Test, { orm, titles, taken }: TestDatabase, ending: 'throws' | 'returns'): Promise<void> {
  await orm.em.fork().insertMany(Book, Array.from({ length: 300 }, (_, i) => ({ title: `old ${i}` })))
  await runInContext({ orm }, async () => {
    await em().insert(Book, { title: 'kept' })
    let rows!: AsyncIterable<unknown>
    await t.rejects(em().transactional(async inner => {
      await inner.insert(Book, { title: 'lost' })
      const stream = (inner as unknown as SqlEntityManager).stream(Book)
      rows = stream
      await stream.next()
      if (ending === 'throws') throw new Error('no')
    }), ending === 'throws' ? { message: 'no' } : { code: 'FST_ORM_STREAM_OPEN' })
    await t.rejects(readOn(rows), { code: 'FST_ORM_CONTEXT_ENDED', message: /^an em\.transactional\(\) of runInContext\(\) has ended \(rolledBack\)/ })
    await em().insert(Book, { title: 'kept, too' })
  })
  t.strictSame((await titles()).filter(title => !title.startsWith('old')), ['kept', 'kept, too'])
  t.equal(taken(), 0)
}

async function readOn (rows: AsyncIterable<unknown>): Promise<void> {
  for await (const row of rows) if (row === undefined) return
}

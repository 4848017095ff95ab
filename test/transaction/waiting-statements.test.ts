import type { SqlEntityManager } from '@mikro-orm/sql'
import { em, runInContext } from '../../index.ts'
import { Book, onEveryEngine } from '../support/databases.ts'

onEveryEngine('what waits for a connection when its context is aborted is never sent', async (t, { another, sent, orm: first }) => {
  await first.close()
  for (const transaction of ['on-write', 'on-query', false] as const) {
    for (const what of ['read', 'write'] as const) {
      const orm = await another({ pool: { min: 0, max: 1 } })
      await orm.em.fork().nativeDelete(Book, {})
      const aborted = new AbortController()
      const holding = Promise.withResolvers<void>()
      const done = Promise.withResolvers<void>()
      const holder = runInContext({ orm, transaction: 'on-query' }, async () => {
        await em().count(Book)
        holding.resolve()
        await done.promise
      })
      await holding.promise
      const asked = Promise.withResolvers<void>()
      let statement: Promise<unknown> | undefined
      const waiting = t.rejects(runInContext({ orm, transaction, signal: aborted.signal }, async () => {
        statement = what === 'read' ? em().count(Book, { title: 'late' }) : em().insert(Book, { title: 'late' })
        statement.catch(() => {})
        asked.resolve()
        await statement
      }), { message: 'enough' })
      await asked.promise
      await new Promise(setImmediate)
      aborted.abort(new Error('enough'))
      done.resolve()
      await holder
      await waiting
      await Promise.allSettled([statement])
      t.equal(await runInContext({ orm }, () => em().count(Book)), 0, `${what}, ${transaction}`)
      t.notOk(sent.splice(0).some(sql => sql.includes('late')), `${what}, ${transaction}`)
      await orm.close()
    }
  }
})

onEveryEngine('nor is what a signal of its own ends while it waits for a connection', async (t, { another, sent, orm: first }) => {
  await first.close()
  const orm = await another({ pool: { min: 0, max: 1 } })
  t.teardown(() => orm.close())
  for (const transaction of ['on-write', 'on-query'] as const) {
    for (const sql of ["select 'late'", "insert into book (title) values ('late')"]) {
      const aborted = new AbortController()
      const holding = Promise.withResolvers<void>()
      const done = Promise.withResolvers<void>()
      const holder = runInContext({ orm, transaction: 'on-query' }, async () => {
        await em().count(Book)
        holding.resolve()
        await done.promise
      })
      await holding.promise
      await runInContext({ orm, transaction }, async () => {
        const statement = (em() as unknown as SqlEntityManager).execute(sql, [], { signal: aborted.signal })
        statement.catch(() => {})
        await new Promise(setImmediate)
        aborted.abort(new Error('enough'))
        await t.rejects(statement, { message: 'enough' })
        done.resolve()
        await holder
        t.equal(await em().count(Book), 0, `${sql}, ${transaction}`)
      })
      t.notOk(sent.splice(0).some(sent => sent.includes('late')), `${sql}, ${transaction}`)
    }
  }
})

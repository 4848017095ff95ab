import type { SqlEntityManager } from '@mikro-orm/sql'
import { em, runInContext } from '../../index.ts'
import { Book, onSingleConnection } from '../support/databases.ts'

onSingleConnection('a table that is made in the transaction is rolled back with it', async (t, { orm, observe, titles }) => {
  const failure = new Error('no')
  await t.rejects(runInContext({ orm }, async () => {
    await em().insert(Book, { title: 'Emma' })
    await (em() as unknown as SqlEntityManager).execute('create table shelf (id int)')
    throw failure
  }), failure)
  t.strictSame(await titles(), [])
  await t.rejects(observe('select * from shelf'), /shelf/)
})

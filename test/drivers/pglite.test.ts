import type { SqlEntityManager } from '@mikro-orm/sql'
import { em, runInContext } from '../../index.ts'
import { Book, onPglite } from '../support/databases.ts'

const sql = (): SqlEntityManager => em() as unknown as SqlEntityManager

onPglite('a transaction has the isolation level that it is asked for, and is read-only', async (t, { orm, titles }) => {
  const level = "select current_setting('transaction_isolation') as level, current_setting('transaction_read_only') as read_only"
  const ask = async (): Promise<unknown> => (await sql().execute(level))[0]
  t.strictSame(await runInContext({ orm, isolationLevel: 'serializable' }, ask), { level: 'serializable', read_only: 'off' })
  t.strictSame(await runInContext({ orm, readOnly: true }, ask), { level: 'read committed', read_only: 'on' })
  // what only looks like a read
  const hidden = "with added as (insert into book (title, stock) values ('x', 1) returning id) select * from added"
  await t.rejects(runInContext({ orm, readOnly: true }, () => sql().execute(hidden)), /read-only|FST_ORM_READ_ONLY|read only/)
  t.strictSame(await titles(), [])
})

onPglite('a branch of what holds the only connection fails at once', async (t, { orm, titles }) => {
  await runInContext({ orm }, async () => {
    await em().insert(Book, { title: 'Emma' })
    await t.rejects(runInContext({ orm }, () => em().insert(Book, { title: 'no' })), { code: 'FST_ORM_SINGLE_CONNECTION' })
  })
  t.strictSame(await titles(), ['Emma'])
})

onPglite('a stream is refused by the driver, and does the context no harm', async (t, { orm, titles }) => {
  await runInContext({ orm }, async () => {
    await t.rejects(async () => { for await (const book of em().stream(Book)) t.fail(String(book)) }, /Streaming is not supported by PGlite/)
    await em().insert(Book, { title: 'Emma' })
  })
  t.strictSame(await titles(), ['Emma'])
})

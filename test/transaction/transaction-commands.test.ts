import type { SqlEntityManager } from '@mikro-orm/sql'
import { TransactionPropagation } from '@mikro-orm/core'
import { em, runInContext } from '../../index.ts'
import { Book, onEachDatabase } from '../support/databases.ts'

const sql = (): SqlEntityManager => em() as unknown as SqlEntityManager
const COMMANDS = ['commit', 'ROLLBACK', ' begin', '/* now */ commit', 'start transaction', "insert into book (title) values ('smuggled'); commit"]

onEachDatabase('raw SQL that would begin or end the transaction is refused before it is sent', async (t, { orm, sent, titles, kind }) => {
  for (const command of [...COMMANDS, ...kind === 'mariadb' ? ['xa begin \'x\'', 'set autocommit = 0'] : ['end']]) {
    for (const isFirst of [true, false]) {
      await t.rejects(runInContext({ orm }, async () => {
        if (!isFirst) await em().insert(Book, { title: 'Emma' })
        sent.length = 0
        await t.rejects(sql().execute(command), {
          code: 'FST_ORM_TRANSACTION_COMMAND', message: /^runInContext\(\) begins and ends its transaction itself, and did not send this: /, stack: /transaction-commands\.test\.ts/
        }, command)
        t.strictSame(sent, [])
        throw new Error('no')
      }), /^no$/)
    }
  }
  await runInContext({ orm }, async () => {
    for (const propagation of [TransactionPropagation.REQUIRES_NEW, TransactionPropagation.NESTED]) {
      await t.rejects(em().transactional(inner => (inner as unknown as SqlEntityManager).execute('commit'), { propagation }), { code: 'FST_ORM_TRANSACTION_COMMAND' })
    }
    const streamed = async (): Promise<void> => { for await (const row of sql().getConnection().stream('commit', [], sql().getTransactionContext() as never)) t.fail(String(row)) }
    await t.rejects(streamed(), { code: 'FST_ORM_TRANSACTION_COMMAND' })
    await em().insert(Book, { title: 'it does no harm' })
    await em().insert(Book, { title: "'; commit" })
  })
  t.strictSame(await titles(), ["'; commit", 'it does no harm'])
})

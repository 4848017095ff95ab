import type { AbstractSqlConnection } from '@mikro-orm/sql'
import { dialectOf } from '../drivers/dialect.ts'
import type { ControlledTransaction } from '../drivers/pinned-transaction.ts'
import { rulesOfPostgres } from '../drivers/postgresql/savepoint-rules.ts'
import { NO_RULES, type SavepointRules } from '../drivers/savepoint-rules.ts'
import { rulesOfSqlite } from '../drivers/sqlite/savepoint-rules.ts'

/** What the engine asks of a savepoint that stands for a transaction. */
export async function rulesOf (connection: AbstractSqlConnection, trx: ControlledTransaction): Promise<SavepointRules> {
  const execute = (sql: string, parameters: unknown[] = []): Promise<any[]> => connection.execute(sql, parameters, 'all', trx)
  const dialect = dialectOf(connection.getPlatform())
  if (dialect === 'postgresql') return rulesOfPostgres(execute)
  if (dialect === 'sqlite') return await rulesOfSqlite(execute)
  return NO_RULES
}

import type { Dialect } from '../dialect.ts'
import type { BeginOptions } from '../driver.ts'
import { rawStatement } from '../kysely/connections.ts'
import { KyselyDriver } from '../kysely/kysely-driver.ts'
import { KyselyTransaction } from '../kysely/kysely-transaction.ts'
import type { PinnedTransaction, TransactionSettings } from '../pinned-transaction.ts'

/** A PostgreSQL in the process itself: its dialect, and one connection. */
export class PgliteDriver extends KyselyDriver {
  override readonly dialect: Dialect = 'postgresql'

  override begin (settings: TransactionSettings, { arrived }: BeginOptions): Promise<PinnedTransaction> {
    return KyselyTransaction.begin(this.connection, settings, arrived, { afterBegin: modesOf(settings) })
  }
}

/** Kysely 0.29.6 leaves out what a transaction of PGlite's is asked for. */
function modesOf ({ isolationLevel, readOnly }: TransactionSettings): ReturnType<typeof rawStatement> | undefined {
  const modes = [...isolationLevel === undefined ? [] : [`isolation level ${isolationLevel}`], ...readOnly === true ? ['read only'] : []]
  return modes.length === 0 ? undefined : rawStatement(`set transaction ${modes.join(', ')}`)
}

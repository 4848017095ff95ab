import type { EntityManager } from '@mikro-orm/core'
import type { AbstractSqlConnection } from '@mikro-orm/sql'
import type { Dialect } from '../dialect.ts'
import type { BeginOptions } from '../driver.ts'
import { KyselyDriver } from '../kysely/kysely-driver.ts'
import { KyselyTransaction } from '../kysely/kysely-transaction.ts'
import { PlainTransaction } from '../kysely/plain-transaction.ts'
import { isMadeByMikroOrm } from '../made-by-mikro-orm.ts'
import type { PinnedTransaction, TransactionSettings } from '../pinned-transaction.ts'
import { runQueryOnly } from './query-only.ts'

/** SQLite, and libSQL. */
export class SqliteDriver extends KyselyDriver {
  override readonly dialect: Dialect = 'sqlite'
  readonly #isMadeByMikroOrm: boolean

  constructor (connection: AbstractSqlConnection, config: EntityManager['config']) {
    super(connection, config)
    this.#isMadeByMikroOrm = isMadeByMikroOrm(config)
  }

  override begin (settings: TransactionSettings, { arrived }: BeginOptions): Promise<PinnedTransaction> {
    if (this.#isMadeByMikroOrm && isPlain(settings)) return PlainTransaction.begin(this.connection, arrived, BEGIN)
    return KyselyTransaction.begin(this.connection, settings, arrived, settings.readOnly === true ? { surround: runQueryOnly } : {})
  }
}

/** Whether a transaction with these settings begins with `begin` alone. */
function isPlain ({ isolationLevel, readOnly, sessionContext }: TransactionSettings): boolean {
  return isolationLevel === undefined && readOnly !== true && sessionContext === undefined
}

const BEGIN = ['begin']

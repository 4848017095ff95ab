import type { EntityManager } from '@mikro-orm/core'
import type { AbstractSqlConnection } from '@mikro-orm/sql'
import type { Dialect } from '../dialect.ts'
import type { BeginOptions, Driver } from '../driver.ts'
import { cancelStatement, isPool, lendConnection } from '../kysely/connections.ts'
import { KyselyTransaction } from '../kysely/kysely-transaction.ts'
import { isMadeByMikroOrm, poolSizeOf } from '../made-by-mikro-orm.ts'
import type { DatabaseConnection, PinnedTransaction, Query, Result, TransactionSettings, Use } from '../pinned-transaction.ts'
import { PoolGate } from '../pool-gate.ts'
import { probeFor } from '../kysely/probe.ts'
import { isPlain, PlainTransaction } from './plain-transaction.ts'
import { runQueryOnly } from './query-only.ts'

/** SQLite, and libSQL. */
export class SqliteDriver implements Driver {
  readonly dialect: Dialect = 'sqlite'
  readonly gate: PoolGate
  readonly #connection: AbstractSqlConnection
  readonly #isMadeByMikroOrm: boolean

  constructor (connection: AbstractSqlConnection, config: EntityManager['config']) {
    this.#connection = connection
    this.#isMadeByMikroOrm = isMadeByMikroOrm(config)
    this.gate = new PoolGate(this.isPool ? poolSizeOf(config) : Infinity)
  }

  get isPool (): boolean {
    return isPool(this.#connection.getClient())
  }

  begin (settings: TransactionSettings, { arrived }: BeginOptions): Promise<PinnedTransaction> {
    if (this.#isMadeByMikroOrm && isPlain(settings)) return PlainTransaction.begin(this.#connection, arrived)
    return KyselyTransaction.begin(this.#connection, settings, arrived, settings.readOnly === true ? runQueryOnly : undefined)
  }

  read (use: Use<Result>, arrived: () => void): Promise<Result> {
    return this.lend(use, arrived)
  }

  lend<T> (use: Use<T>, arrived: () => void): Promise<T> {
    return lendConnection(this.#connection.getClient(), use, arrived)
  }

  cancel (connection: DatabaseConnection): Promise<void> {
    return cancelStatement(this.#connection.getClient(), connection)
  }

  probeFor (): Query | undefined {
    return this.isPool ? probeFor(this.#connection.getClient()) : undefined
  }

  runInside<T> (_connection: DatabaseConnection, callback: () => Promise<T>): Promise<T> {
    return callback()
  }
}

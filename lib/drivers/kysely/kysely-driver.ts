import type { EntityManager } from '@mikro-orm/core'
import type { AbstractSqlConnection } from '@mikro-orm/sql'
import type { Dialect } from '../dialect.ts'
import type { BeginOptions, Driver } from '../driver.ts'
import { poolSizeOf } from '../made-by-mikro-orm.ts'
import type { DatabaseConnection, PinnedTransaction, Query, Result, TransactionSettings, Use } from '../pinned-transaction.ts'
import { PoolGate } from '../pool-gate.ts'
import type { Replication } from '../replication.ts'
import { NO_CONTROL } from './give-up.ts'
import { cancelStatement, isPool, lendConnection } from './connections.ts'
import { KyselyTransaction } from './kysely-transaction.ts'
import { probeFor } from './probe.ts'

/** All that is done on a database, Kysely does: of one that this plugin knows nothing of, and wherever an engine adds nothing. */
export class KyselyDriver implements Driver {
  readonly dialect: Dialect = 'unknown'
  readonly gate: PoolGate
  readonly replication: Replication | undefined = undefined
  protected readonly connection: AbstractSqlConnection

  constructor (connection: AbstractSqlConnection, config: EntityManager['config']) {
    this.connection = connection
    this.gate = new PoolGate(this.isPool ? poolSizeOf(config) : Infinity)
  }

  get isPool (): boolean {
    return isPool(this.connection.getClient())
  }

  begin (settings: TransactionSettings, { arrived }: BeginOptions): Promise<PinnedTransaction> {
    return KyselyTransaction.begin(this.connection, settings, arrived)
  }

  read (use: Use<Result>, arrived: () => void): Promise<Result> {
    return this.lend(use, arrived)
  }

  lend<T> (use: Use<T>, arrived: () => void): Promise<T> {
    return lendConnection(this.connection.getClient(), use, arrived)
  }

  cancel (connection: DatabaseConnection, ended: Promise<unknown>): Promise<void> {
    return cancelStatement(this.connection.getClient(), connection, ended)
  }

  abandon (connection: DatabaseConnection): void {
    connection.killSession?.(NO_CONTROL).catch(() => {})
  }

  mayEndTransaction (_sql: string): boolean {
    return false
  }

  probeFor (_connection: DatabaseConnection): Query | undefined {
    return this.isPool ? probeFor(this.connection.getClient()) : undefined
  }

  leaveStream (_connection: DatabaseConnection, rows: AsyncIterator<unknown>): Promise<unknown> {
    return Promise.resolve(rows.return?.())
  }

  runInside<T> (_connection: DatabaseConnection, callback: () => Promise<T>): Promise<T> {
    return callback()
  }
}

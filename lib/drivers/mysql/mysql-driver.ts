import type { EntityManager } from '@mikro-orm/core'
import type { AbstractSqlConnection } from '@mikro-orm/sql'
import type { Dialect } from '../dialect.ts'
import type { BeginOptions, Driver } from '../driver.ts'
import { KyselyDriver } from '../kysely/kysely-driver.ts'
import { PlainTransaction } from '../kysely/plain-transaction.ts'
import { isMadeByMikroOrm } from '../made-by-mikro-orm.ts'
import type { DatabaseConnection, PinnedTransaction, TransactionSettings, Use } from '../pinned-transaction.ts'
import { replication } from './replication.ts'
import { trackCommit } from './tracked-commit.ts'

/** MySQL and MariaDB. */
export class MysqlDriver extends KyselyDriver {
  override readonly dialect: Dialect = 'mysql'
  override readonly replication: Driver['replication'] = replication
  readonly #isMadeByMikroOrm: boolean

  constructor (connection: AbstractSqlConnection, config: EntityManager['config']) {
    super(connection, config)
    this.#isMadeByMikroOrm = isMadeByMikroOrm(config)
  }

  /** Kysely has nothing else for it; and one that nothing has connected cannot be asked (MikroORM 7.2.1). */
  override get isPool (): boolean {
    return true
  }

  override begin (settings: TransactionSettings, options: BeginOptions): Promise<PinnedTransaction> {
    if (!this.#isMadeByMikroOrm || settings.sessionContext !== undefined) return super.begin(settings, options)
    const begun = PlainTransaction.begin(this.connection, options.arrived, beginning(settings))
    return options.tracksPosition ? this.#track(begun) : begun
  }

  override mayEndTransaction (sql: string): boolean {
    return CALLS_A_PROCEDURE.test(sql)
  }

  async #track (begun: Promise<PlainTransaction>): Promise<PinnedTransaction> {
    const transaction = await begun
    transaction.commitTracked = await trackCommit(this.connection, transaction.connection)
    return transaction
  }

  override async lend<T> (use: Use<T>, arrived: () => void): Promise<T> {
    await this.connection.ensureConnection()
    return await super.lend(use, arrived)
  }

  /**
   * The server sends what it has until it is told otherwise, and mysql2 3.24 reads all of it before the next statement. Where a
   * stream is destroyed meanwhile, it throws the error that the server sends in the end at the process.
   */
  override async leaveStream (connection: DatabaseConnection, rows: AsyncIterator<unknown>): Promise<void> {
    // otherwise, Kysely may have no other connection to cancel it on than those of the pool, which wait for this one
    const ended = Promise.withResolvers<void>()
    const cancelled = this.#isMadeByMikroOrm ? this.cancel(connection, ended.promise).catch(() => {}) : undefined
    try {
      while ((await rows.next()).done !== true);
    } finally {
      ended.resolve()
      await cancelled // or it might hit the next statement
    }
  }
}

/** Or may call one: behind a comment, after another statement, or with settings of its own (`set statement … for call`). */
const CALLS_A_PROCEDURE = /^\s*(?:call\b|execute\b|\/\*|--|#|set\s[^]*\b(?:call|execute)\b)|;[^]*\b(?:call|execute)\b/i

/** Kysely 0.29.6 makes a transaction read only with a statement before it. */
function beginning ({ isolationLevel, readOnly }: TransactionSettings): string[] {
  const begin = readOnly === true ? 'start transaction read only' : 'begin'
  return isolationLevel === undefined ? [begin] : [`set transaction isolation level ${isolationLevel}`, begin]
}

import type { EntityManager } from '@mikro-orm/core'
import type { AbstractSqlConnection, Kysely } from '@mikro-orm/sql'
import type { Dialect } from '../dialect.ts'
import type { BeginOptions } from '../driver.ts'
import { KyselyDriver } from '../kysely/kysely-driver.ts'
import { isMadeByMikroOrm } from '../made-by-mikro-orm.ts'
import type { DatabaseConnection, PinnedTransaction, Query, Result, TransactionSettings, Use } from '../pinned-transaction.ts'
import { openPool, type PgPool } from './internals.ts'
import { PgConnection } from './pg-connection.ts'
import { PgTransaction } from './pg-transaction.ts'

/**
 * PostgreSQL, on pg's own pool where MikroORM has made that: Kysely lends a connection and sends a query with almost three times
 * as many promises, and has no `BEGIN` that travels with a statement. Otherwise, as on PGlite, through Kysely.
 */
export class PostgresqlDriver extends KyselyDriver {
  override readonly dialect: Dialect = 'postgresql'
  readonly #needsKysely: boolean
  /** What the pool was found for: of a MikroORM that is closed and opened again, Kysely is another, and so is the pool. */
  #client: Kysely<any> | undefined
  #pool: PgPool | null = null

  constructor (connection: AbstractSqlConnection, config: EntityManager['config']) {
    super(connection, config)
    this.#needsKysely = !isMadeByMikroOrm(config) || preparesConnections(config)
  }

  override async begin (settings: TransactionSettings, options: BeginOptions): Promise<PinnedTransaction> {
    if (!this.#isOpen) await this.#open()
    if (this.#pool === null) return await super.begin(settings, options)
    return await PgTransaction.begin(this.#pool, this.connection, settings, options.arrived, options.withStatement)
  }

  override async read (use: Use<Result>, arrived: () => void): Promise<Result> {
    if (!this.#isOpen) await this.#open()
    const pool = this.#pool
    if (pool === null) return await this.lend(use, arrived)
    // as a promise: pg-pool 3.14 calls back in the async context of whoever has given the connection back
    const connection = new PgConnection(pool, await pool.connect())
    try {
      arrived()
      return await use(connection)
    } finally {
      const released = connection.release()
      if (released !== undefined) await released
    }
  }

  override probeFor (connection: DatabaseConnection): Query | undefined {
    return connection instanceof PgConnection ? undefined : super.probeFor(connection)
  }

  get #isOpen (): boolean {
    return this.connection.getClient() === this.#client
  }

  async #open (): Promise<void> {
    const client = this.connection.getClient()
    this.#pool = this.#needsKysely ? null : await openPool(this.connection)
    this.#client = client
  }
}

/** MikroORM 7.2.1 or the user wants something done whenever Kysely makes or lends a connection. */
function preparesConnections (config: EntityManager['config']): boolean {
  return config.get('sessionContext') === 'connection' || config.get('onCreateConnection') !== undefined || config.get('onReserveConnection') !== undefined
}

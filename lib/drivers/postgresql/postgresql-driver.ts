import type { EntityManager } from '@mikro-orm/core'
import type { AbstractSqlConnection, Kysely } from '@mikro-orm/sql'
import type { Dialect } from '../dialect.ts'
import type { BeginOptions, Driver } from '../driver.ts'
import { cancelStatement, isPool, lendConnection } from '../kysely/connections.ts'
import { KyselyTransaction } from '../kysely/kysely-transaction.ts'
import { probeFor } from '../kysely/probe.ts'
import { isMadeByMikroOrm, poolSizeOf } from '../made-by-mikro-orm.ts'
import type { DatabaseConnection, PinnedTransaction, Query, Result, TransactionSettings, Use } from '../pinned-transaction.ts'
import { PoolGate } from '../pool-gate.ts'
import { openPool, type PgPool } from './internals.ts'
import { PgConnection } from './pg-connection.ts'
import { PgTransaction } from './pg-transaction.ts'

/**
 * PostgreSQL, on pg's own pool where MikroORM has made that: Kysely lends a connection and sends a query with almost three times
 * as many promises, and has no `BEGIN` that travels with a statement. Otherwise, as on PGlite, through Kysely.
 */
export class PostgresqlDriver implements Driver {
  readonly dialect: Dialect = 'postgresql'
  readonly gate: PoolGate
  readonly #connection: AbstractSqlConnection
  readonly #needsKysely: boolean
  /** What the pool was found for: of a MikroORM that is closed and opened again, Kysely is another, and so is the pool. */
  #client: Kysely<any> | undefined
  #pool: PgPool | null = null

  constructor (connection: AbstractSqlConnection, config: EntityManager['config']) {
    this.#connection = connection
    this.#needsKysely = !isMadeByMikroOrm(config) || preparesConnections(config)
    this.gate = new PoolGate(this.isPool ? poolSizeOf(config) : Infinity)
  }

  get isPool (): boolean {
    return isPool(this.#connection.getClient())
  }

  async begin (settings: TransactionSettings, { arrived, withStatement }: BeginOptions): Promise<PinnedTransaction> {
    if (!this.#isOpen) await this.#open()
    return this.#pool === null
      ? await KyselyTransaction.begin(this.#connection, settings, arrived)
      : await PgTransaction.begin(this.#pool, this.#connection, settings, arrived, withStatement)
  }

  async read (use: Use<Result>, arrived: () => void): Promise<Result> {
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

  lend<T> (use: Use<T>, arrived: () => void): Promise<T> {
    return lendConnection(this.#connection.getClient(), use, arrived)
  }

  cancel (connection: DatabaseConnection): Promise<void> {
    return cancelStatement(this.#connection.getClient(), connection)
  }

  probeFor (connection: DatabaseConnection): Query | undefined {
    return connection instanceof PgConnection || !this.isPool ? undefined : probeFor(this.#connection.getClient())
  }

  runInside<T> (_connection: DatabaseConnection, callback: () => Promise<T>): Promise<T> {
    return callback()
  }

  get #isOpen (): boolean {
    return this.#connection.getClient() === this.#client
  }

  async #open (): Promise<void> {
    const client = this.#connection.getClient()
    this.#pool = this.#needsKysely ? null : await openPool(this.#connection)
    this.#client = client
  }
}

/** MikroORM 7.2.1 or the user wants something done whenever Kysely makes or lends a connection. */
function preparesConnections (config: EntityManager['config']): boolean {
  return config.get('sessionContext') === 'connection' || config.get('onCreateConnection') !== undefined || config.get('onReserveConnection') !== undefined
}

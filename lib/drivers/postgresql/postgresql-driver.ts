import type { EntityManager } from '@mikro-orm/core'
import type { AbstractSqlConnection, Kysely } from '@mikro-orm/sql'
import type { Dialect } from '../dialect.ts'
import type { BeginOptions, Driver } from '../driver.ts'
import { KyselyDriver } from '../kysely/kysely-driver.ts'
import { isMadeByMikroOrm } from '../made-by-mikro-orm.ts'
import type { DatabaseConnection, PinnedTransaction, Query, Result, TransactionSettings, Use } from '../pinned-transaction.ts'
import { isBehindPooler, openPool, type PgPool } from './internals.ts'
import { PgConnection } from './pg-connection.ts'
import { PgTransaction } from './pg-transaction.ts'
import { replication } from './replication.ts'

/**
 * PostgreSQL, on pg's own pool where MikroORM has made that: Kysely lends a connection and sends a query with almost three times
 * as many promises, and has no `BEGIN` that travels with a statement. Otherwise through Kysely.
 */
export class PostgresqlDriver extends KyselyDriver {
  override readonly dialect: Dialect = 'postgresql'
  override readonly replication: Driver['replication'] = replication
  readonly #needsKysely: boolean
  /** What the pool was found for: of a MikroORM that is closed and opened again, Kysely is another, and so is the pool. */
  #client: Kysely<any> | undefined
  #pool: PgPool | null = null
  #warn: ((message: string) => void) | undefined
  /** A session context of a connection is kept by its session, which behind a pooler is not its own. */
  watchServer: Driver['watchServer']

  constructor (connection: AbstractSqlConnection, config: EntityManager['config']) {
    super(connection, config)
    this.#needsKysely = !isMadeByMikroOrm(config) || preparesConnections(config)
    if (isMadeByMikroOrm(config) && config.get('sessionContext') === 'connection') {
      this.watchServer = warn => {
        this.watchServer = undefined
        this.#warn = warn
      }
    }
  }

  override async begin (settings: TransactionSettings, options: BeginOptions): Promise<PinnedTransaction> {
    if (!this.#isOpen) await this.#open()
    if (this.#pool === null) return await super.begin(settings, options)
    return await PgTransaction.begin(this.#pool, this.connection, settings, options.arrived, options.withStatement)
  }

  override async lend<T> (use: Use<T>, arrived: () => void): Promise<T> {
    if (this.#warn !== undefined) await this.#open()
    return await super.lend(use, arrived)
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

  override abandon (connection: DatabaseConnection): void {
    if (connection instanceof PgConnection) connection.abandon()
    else super.abandon(connection)
  }

  override probeFor (connection: DatabaseConnection): Query | undefined {
    return connection instanceof PgConnection ? undefined : super.probeFor(connection)
  }

  get #isOpen (): boolean {
    return this.connection.getClient() === this.#client
  }

  async #open (): Promise<void> {
    const client = this.connection.getClient()
    if (this.#warn !== undefined) await this.#lookForPooler()
    this.#pool = this.#needsKysely ? null : await openPool(this.connection)
    this.#client = client
  }

  async #lookForPooler (): Promise<void> {
    const pool = await openPool(this.connection)
    const isBehind = pool !== null && await isBehindPooler(pool)
    const warn = this.#warn // another statement may have asked meanwhile
    this.#warn = undefined
    if (isBehind) warn?.(BEHIND_POOLER)
  }
}

const BEHIND_POOLER = "sessionContext: 'connection' is used behind a pooler, such as PgBouncer: unless that pools by session, requests get the settings of others, and see the rows of other tenants. Remove the option, and em.setSessionContext() is of its transaction. See docs/poolers.md"

/** MikroORM 7.2.1 or the user wants something done whenever Kysely makes or lends a connection. */
function preparesConnections (config: EntityManager['config']): boolean {
  return config.get('sessionContext') === 'connection' || config.get('onCreateConnection') !== undefined || config.get('onReserveConnection') !== undefined
}

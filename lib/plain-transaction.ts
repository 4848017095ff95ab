import type { AbstractSqlConnection, AbstractSqlPlatform, SqlEntityManager } from '@mikro-orm/sql'
import { ConnectionThatBegins, queryThatBegins } from './begin-with-statement.ts'
import { isDriverOfMikroOrm } from './driver-options.ts'
import { keepUntilLost } from './dying-connection.ts'
import { hold, type Held } from './hold.ts'
import { logQuery, PinnedTransaction, platformOf, type DatabaseConnection, type Query, type TransactionSettings } from './pinned-transaction.ts'
import { isPostgres, isSqlite } from './sql-package.ts'

/**
 * A transaction that is nothing but `begin`, `commit` and `rollback` on its connection, which is all that Kysely's drivers
 * for PostgreSQL and SQLite send (0.29.6). Kysely's own lends that connection three times over, which is a tenth of the CPU
 * time of an insert.
 */
export class PlainTransaction extends PinnedTransaction {
  readonly trx: undefined
  readonly #platform: AbstractSqlPlatform
  /** Of one that begins with its first statement. */
  readonly #starter: ConnectionThatBegins | undefined

  private constructor (pool: AbstractSqlConnection, pinned: Held<DatabaseConnection>, starter?: ConnectionThatBegins) {
    super(pool, pinned, starter ?? pinned.resource)
    this.#platform = platformOf(pool)
    this.#starter = starter
  }

  /**
   * Calls `arrived` when it has a connection; if that throws, the connection goes back, and nothing begins. `withStatement`,
   * it begins with its first statement, where the driver can: see `beginError`.
   */
  static async begin (pool: AbstractSqlConnection, arrived: () => void, withStatement: boolean): Promise<PlainTransaction> {
    await pool.ensureConnection()
    const QueryThatBegins = withStatement ? await queryThatBegins(pool) : null
    const pinned = await hold<DatabaseConnection>(use => pool.getClient().getExecutor().provideConnection(async connection => {
      arrived()
      try {
        if (QueryThatBegins === null) await connection.executeQuery(BEGIN)
      } catch (error) {
        await keepUntilLost(error, pool.getClient(), connection)
        throw error
      }
      await use(connection)
    }))
    const { resource } = pinned
    const starter = QueryThatBegins === null ? undefined : new ConnectionThatBegins(resource, QueryThatBegins, () => resource.executeQuery(BEGIN))
    return new PlainTransaction(pool, pinned, starter)
  }

  override get beginError (): unknown {
    return this.#starter?.error
  }

  override whenBegun (callback: () => void): void {
    const begun = (): void => {
      logQuery(this.pool, BEGIN.sql)
      callback()
    }
    if (this.#starter === undefined) begun()
    else this.#starter.onBegun = begun
  }

  savepoint (name: string): Promise<unknown> {
    return this.connection.executeQuery(statement(this.#platform.getSavepointSQL(name)))
  }

  releaseSavepoint (name: string): Promise<unknown> {
    return this.connection.executeQuery(statement(this.#platform.getReleaseSavepointSQL(name)))
  }

  rollbackToSavepoint (name: string): Promise<unknown> {
    return this.connection.executeQuery(statement(this.#platform.getRollbackToSavepointSQL(name)))
  }

  protected sendCommit (): Promise<unknown> {
    return this.connection.executeQuery(COMMIT)
  }

  protected sendRollback (): Promise<unknown> {
    return this.connection.executeQuery(ROLLBACK)
  }
}

/** Whether a transaction with these settings begins with `begin` alone, and the driver is one that sends just that. */
export function isPlain (em: SqlEntityManager, pool: AbstractSqlConnection, { isolationLevel, readOnly, sessionContext }: TransactionSettings): boolean {
  if (isolationLevel !== undefined || readOnly === true || sessionContext !== undefined) return false
  return (isSqlite(pool) || isPostgres(pool)) && isDriverOfMikroOrm(em, pool)
}

/** As Kysely's `CompiledQuery.raw()` makes it, which MikroORM does not export. */
function statement (sql: string): Query {
  return { sql, parameters: [], query: { kind: 'RawNode', sqlFragments: [sql], parameters: [] }, queryId: { queryId: sql } } as Query
}

const BEGIN = statement('begin')
const COMMIT = statement('commit')
const ROLLBACK = statement('rollback')

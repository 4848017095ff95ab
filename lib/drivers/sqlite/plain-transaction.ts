import type { AbstractSqlConnection, AbstractSqlPlatform } from '@mikro-orm/sql'
import { rawStatement } from '../kysely/connections.ts'
import { lease, type Lease } from '../../util/lease.ts'
import { logQuery, PinnedTransaction, platformOf, type DatabaseConnection, type TransactionSettings } from '../pinned-transaction.ts'

/**
 * A transaction that is nothing but `begin`, `commit` and `rollback` on its connection, which is all that Kysely's driver
 * for SQLite sends (0.29.6). Kysely's own lends that connection three times over, which is a tenth of the CPU time of an
 * insert.
 */
export class PlainTransaction extends PinnedTransaction {
  readonly #platform: AbstractSqlPlatform
  readonly #pinned: Lease<DatabaseConnection>

  private constructor (pool: AbstractSqlConnection, pinned: Lease<DatabaseConnection>) {
    super(pool, pinned.resource)
    this.#platform = platformOf(pool)
    this.#pinned = pinned
  }

  /** Calls `arrived` when it has a connection; if that throws, the connection goes back, and nothing begins. */
  static async begin (pool: AbstractSqlConnection, arrived: () => void): Promise<PlainTransaction> {
    await pool.ensureConnection()
    const pinned = await lease<DatabaseConnection>(use => pool.getClient().getExecutor().provideConnection(async connection => {
      arrived()
      await connection.executeQuery(BEGIN)
      await use(connection)
    }))
    logQuery(pool, BEGIN.sql)
    return new PlainTransaction(pool, pinned)
  }

  savepoint (name: string): Promise<unknown> {
    return this.connection.executeQuery(rawStatement(this.#platform.getSavepointSQL(name)))
  }

  releaseSavepoint (name: string): Promise<unknown> {
    return this.connection.executeQuery(rawStatement(this.#platform.getReleaseSavepointSQL(name)))
  }

  rollbackToSavepoint (name: string): Promise<unknown> {
    return this.connection.executeQuery(rawStatement(this.#platform.getRollbackToSavepointSQL(name)))
  }

  protected sendCommit (): Promise<unknown> {
    return this.connection.executeQuery(COMMIT)
  }

  /** A trigger with `raise(rollback, …)` may have ended it by itself. */
  protected async sendRollback (): Promise<void> {
    await this.connection.executeQuery(ROLLBACK).catch(error => {
      if (!/no transaction is active/.test(error.message)) throw error
    })
  }

  protected giveBack (): Promise<void> {
    return this.#pinned.release()
  }
}

/** Whether a transaction with these settings begins with `begin` alone. */
export function isPlain ({ isolationLevel, readOnly, sessionContext }: TransactionSettings): boolean {
  return isolationLevel === undefined && readOnly !== true && sessionContext === undefined
}

const BEGIN = rawStatement('begin')
const COMMIT = rawStatement('commit')
const ROLLBACK = rawStatement('rollback')

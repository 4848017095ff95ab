import type { AbstractSqlConnection, AbstractSqlPlatform } from '@mikro-orm/sql'
import { rawStatement, ROLLBACK } from './connections.ts'
import { lease, type Lease } from '../../util/lease.ts'
import { giveUp } from './give-up.ts'
import { logQuery, PinnedTransaction, platformOf, type DatabaseConnection } from '../pinned-transaction.ts'

/**
 * A transaction that is nothing but statements on its connection, which is all that Kysely's drivers for SQLite and MySQL
 * send (0.29.6). Kysely's own lends that connection three times over, which is a tenth of the CPU time of an insert.
 */
export class PlainTransaction extends PinnedTransaction {
  readonly #platform: AbstractSqlPlatform
  readonly #pinned: Lease<DatabaseConnection>
  /** Commits in a way that gives the position of the commit. */
  commitTracked: (() => Promise<string | undefined>) | undefined

  private constructor (ormConnection: AbstractSqlConnection, pinned: Lease<DatabaseConnection>) {
    super(ormConnection, pinned.resource)
    this.#platform = platformOf(ormConnection)
    this.#pinned = pinned
  }

  /**
   * Calls `arrived` when it has a connection; if that throws, the connection goes back, and nothing begins. `beginning` is
   * what begins it.
   */
  static async begin (ormConnection: AbstractSqlConnection, arrived: () => void, beginning: string[]): Promise<PlainTransaction> {
    await ormConnection.ensureConnection()
    const pinned = await lease<DatabaseConnection>(use => ormConnection.getClient().getExecutor().provideConnection(async connection => {
      arrived()
      try {
        for (const sql of beginning) await connection.executeQuery(rawStatement(sql))
      } catch (error) {
        await giveUp(error, ormConnection.getClient(), connection)
        throw error
      }
      await use(connection)
    }))
    for (const sql of beginning) logQuery(ormConnection, sql)
    return new PlainTransaction(ormConnection, pinned)
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

  protected async sendCommit (): Promise<void> {
    if (this.wantsPosition && this.commitTracked !== undefined) this.position = await this.commitTracked()
    else await this.connection.executeQuery(COMMIT)
  }

  /** A trigger of SQLite's with `raise(rollback, …)` may have ended it by itself. */
  protected async sendRollback (): Promise<void> {
    await this.connection.executeQuery(ROLLBACK).catch(error => {
      if (!/no transaction is active/.test(error.message)) throw error
    })
  }

  protected async giveBack (error?: unknown): Promise<void> {
    if (error !== undefined) await giveUp(error, this.ormConnection.getClient(), this.connection)
    await this.#pinned.release()
  }
}

const COMMIT = rawStatement('commit')

import { isUndecided } from './errors.ts'
import type { AbstractSqlConnection, AbstractSqlPlatform, IsolationLevel, Kysely, SessionContext } from '@mikro-orm/sql'

export interface TransactionSettings {
  isolationLevel?: IsolationLevel | `${IsolationLevel}`
  readOnly?: boolean
  sessionContext?: SessionContext
}

type Client = Kysely<any>
export type ControlledTransaction = Awaited<ReturnType<ReturnType<Client['startTransaction']>['execute']>>

/** Kysely's types, which `@mikro-orm/sql` does not export. */
export type DatabaseConnection = Parameters<Parameters<ReturnType<Client['getExecutor']>['provideConnection']>[0]>[0]
export type Query = Parameters<DatabaseConnection['executeQuery']>[0]
export type QueryOptions = Parameters<DatabaseConnection['executeQuery']>[1]
export interface Result {
  readonly rows: any[]
  readonly numAffectedRows?: bigint
  readonly numChangedRows?: bigint
  readonly insertId?: bigint
}

/** Runs a statement on the connection that it gets. */
export type Use<T> = (connection: DatabaseConnection, replica?: ServerOfStatement) => Promise<T>

/** The replica that a connection leads to, if it is not the primary. */
export interface ServerOfStatement {
  readonly connection: AbstractSqlConnection
  readonly driver: { cancel (connection: DatabaseConnection, ended: Promise<unknown>): Promise<void> }
}

/**
 * A real transaction on a connection of its own, which is back in the pool after `commit()` and `rollback()` whatever
 * they do.
 *
 * A transaction that Kysely's `startTransaction()` begins straight on the pool keeps its connection for ever when
 * `BEGIN`, `COMMIT` or `ROLLBACK` fails (kysely-org/kysely#1990, seen in 0.29.6). So the connection is taken first, in a
 * way that gives it back in a `finally`, and the transaction begins on it.
 */
export abstract class PinnedTransaction {
  /** What it runs on. Whoever uses it sees to it that one statement follows the other. */
  readonly connection: DatabaseConnection
  /** MikroORM's, which is a pool. */
  protected readonly ormConnection: AbstractSqlConnection

  /** `COMMIT` was sent, and no answer came, or one that leaves it open: it may have been committed, or not. */
  isInDoubt = false

  /** What it runs on, if that is not the primary. */
  replica: ServerOfStatement | undefined
  /** Its commit is to say where it is in the log of the server. */
  wantsPosition = false
  /** Where it is, if it was asked for and the engine says so in the answer to `COMMIT`: see `Replication`. */
  position: string | undefined

  protected constructor (ormConnection: AbstractSqlConnection, connection: DatabaseConnection) {
    this.ormConnection = ormConnection
    this.connection = connection
  }

  abstract savepoint (name: string): Promise<unknown>
  abstract releaseSavepoint (name: string): Promise<unknown>
  abstract rollbackToSavepoint (name: string): Promise<unknown>
  protected abstract sendCommit (): Promise<unknown>
  protected abstract sendRollback (): Promise<unknown>
  /** Gives the connection back; with an `error`, it is not known to be well. */
  protected abstract giveBack (error?: unknown): Promise<void> | undefined

  /** Why it has not begun, of one whose first statement was to bring `BEGIN` along. */
  get beginError (): unknown {
    return undefined
  }

  /** Calls `callback` when it has begun, which may be by now. */
  whenBegun (callback: () => void): void {
    callback()
  }

  /** Gives back the connection of one that has not begun, because of `beginError`. */
  async abandon (): Promise<void> {
    await this.giveBack(this.beginError)
  }

  async commit (): Promise<void> {
    let failure: unknown
    try {
      await this.sendCommit()
    } catch (error) {
      this.isInDoubt ||= isUndecided(error)
      // SQLite leaves the transaction open when a deferred constraint fails; where it has been closed, this does nothing
      await this.sendRollback().catch(error => {
        this.isInDoubt = true
        failure = error
      })
      throw error
    } finally {
      await this.giveBack(failure)
    }
    logQuery(this.ormConnection, platformOf(this.ormConnection).getCommitTransactionSQL())
  }

  async rollback (): Promise<void> {
    let failure: unknown
    try {
      await this.sendRollback()
    } catch (error) {
      failure = error
      throw error
    } finally {
      await this.giveBack(failure)
    }
    logQuery(this.ormConnection, platformOf(this.ormConnection).getRollbackTransactionSQL())
  }
}

/** As `AbstractSqlConnection.begin()` and its kin do, with a method that MikroORM 7.2.1 does not publish. */
export function logQuery (ormConnection: AbstractSqlConnection, sql: string): void {
  (ormConnection as unknown as { logQuery (sql: string): void }).logQuery(sql)
}

/** The words that the database has for transactions. MikroORM 7.2.1 types it as the platform of any database. */
export function platformOf (ormConnection: AbstractSqlConnection): AbstractSqlPlatform {
  return ormConnection.getPlatform() as AbstractSqlPlatform
}

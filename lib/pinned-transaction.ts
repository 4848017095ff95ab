import {
  BaseSqliteConnection, type AbstractSqlConnection, type AbstractSqlPlatform, type IsolationLevel, type Kysely, type SessionContext
} from '@mikro-orm/sql'
import { keepUntilLost } from './dying-connection.ts'
import { hold, type Held } from './hold.ts'
import { SANDBOXED } from './sandboxes.ts'

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

/**
 * What `AbstractSqlConnection.begin()` uses and does not publish (MikroORM 7.2.1). `begin()` itself cannot be told
 * which connection to use. Every use of an internal of MikroORM's connections is in this file.
 */
interface ConnectionInternals {
  platform: AbstractSqlPlatform
  applySessionContext (trx: ControlledTransaction, sessionContext: SessionContext): Promise<void>
  logQuery (sql: string): void
}

/**
 * A real transaction on a connection of its own, which is back in the pool after `commit()` and `rollback()` whatever
 * they do.
 *
 * A transaction that `startTransaction()` begins straight on the pool keeps its connection for ever when `BEGIN`,
 * `COMMIT` or `ROLLBACK` fails (kysely-org/kysely#1990, seen in 0.29.6). So the connection is taken first, in a way
 * that gives it back in a `finally`, and the transaction begins on it.
 */
export class PinnedTransaction {
  readonly trx: ControlledTransaction
  /** What it runs on. Whoever uses it sees to it that one statement follows the other. */
  readonly connection: DatabaseConnection
  readonly #internals: ConnectionInternals
  readonly #pinned: Held<Client>

  /** `COMMIT` was sent, and the connection died: it may have been committed, or not. */
  isInDoubt = false

  private constructor (internals: ConnectionInternals, pinned: Held<Client>, connection: DatabaseConnection, trx: ControlledTransaction) {
    this.#internals = internals
    this.#pinned = pinned
    this.connection = connection
    this.trx = trx
  }

  /** Calls `arrived` when it has a connection; if that throws, the connection goes back, and nothing begins. */
  static async begin (connection: AbstractSqlConnection, settings: TransactionSettings, arrived: () => void): Promise<PinnedTransaction> {
    await connection.ensureConnection()
    const internals = connection as unknown as ConnectionInternals
    const pinned = await hold<Client>(use => connection.getClient().connection().execute(client => {
      arrived()
      const isQueryOnly = settings.readOnly === true && connection instanceof BaseSqliteConnection && !(SANDBOXED in connection)
      return isQueryOnly ? withQueryOnly(connection, client, use) : use(client)
    }))
    // now: where `BEGIN` fails, its client lends its connection to nobody any more (the same issue)
    const held = await pinned.resource.getExecutor().provideConnection(async connection => connection)
    let trx: ControlledTransaction | undefined
    try {
      trx = await startTransaction(pinned.resource, settings)
      for (const sql of internals.platform.getBeginTransactionSQL(settings as BeginOptions)) internals.logQuery(sql)
      if (settings.sessionContext !== undefined) await internals.applySessionContext(trx, settings.sessionContext)
      return new PinnedTransaction(internals, pinned, held, trx)
    } catch (error) {
      await trx?.rollback().execute().catch(() => {})
      await keepUntilLost(error, pinned.resource, held)
      await pinned.release()
      throw error
    }
  }

  async commit (): Promise<void> {
    try {
      await this.trx.commit().execute()
    } catch (error) {
      // SQLite leaves the transaction open when a deferred constraint fails; where it has been closed, this does nothing
      await this.trx.rollback().execute().catch(() => { this.isInDoubt = true })
      throw error
    } finally {
      await this.#pinned.release()
    }
    this.#internals.logQuery(this.#internals.platform.getCommitTransactionSQL())
  }

  async rollback (): Promise<void> {
    try {
      await this.trx.rollback().execute()
    } catch (error) {
      await keepUntilLost(error, this.#pinned.resource, this.connection)
      throw error
    } finally {
      await this.#pinned.release()
    }
    this.#internals.logQuery(this.#internals.platform.getRollbackTransactionSQL())
  }
}

type BeginOptions = Parameters<AbstractSqlPlatform['getBeginTransactionSQL']>[0]

/** SQLite has no read-only transactions, but connections that refuse to write. */
async function withQueryOnly (connection: AbstractSqlConnection, client: Client, use: (client: Client) => Promise<void>): Promise<void> {
  await connection.execute('pragma query_only = on', [], 'run', client)
  try {
    await use(client)
  } finally {
    await connection.execute('pragma query_only = off', [], 'run', client)
  }
}

function startTransaction (client: Client, { isolationLevel, readOnly }: TransactionSettings): Promise<ControlledTransaction> {
  let builder = client.startTransaction()
  if (isolationLevel !== undefined) builder = builder.setIsolationLevel(isolationLevel)
  if (readOnly === true) builder = builder.setAccessMode('read only')
  return builder.execute()
}

import type { AbstractSqlConnection, SessionContext } from '@mikro-orm/sql'
import { isLost } from '../errors.ts'
import { PgConnection, resultOf } from './pg-connection.ts'
import { sendCommitAndMore, type PgClient, type PgError, type PgPool, type PgResult } from './internals.ts'
import { logQuery, PinnedTransaction, platformOf, type Query, type Result, type TransactionSettings } from '../pinned-transaction.ts'
import { replication } from './replication.ts'

/** What `AbstractSqlConnection.begin()` uses and does not publish (MikroORM 7.2.1). */
interface ConnectionInternals {
  applySessionContext (ctx: Pick<PgConnection, 'executeQuery'>, sessionContext: SessionContext): Promise<void>
}

/** A transaction on a connection of pg's own pool. `BEGIN` travels with the first statement where it can. */
export class PgTransaction extends PinnedTransaction {
  declare readonly connection: BeginningConnection

  private constructor (ormConnection: AbstractSqlConnection, lent: BeginningConnection) {
    super(ormConnection, lent)
  }

  /**
   * Calls `arrived` when it has a connection; if that throws, the connection goes back, and nothing begins. `withStatement`,
   * it begins with its first statement: see `beginError`.
   */
  static async begin (pool: PgPool, ormConnection: AbstractSqlConnection, settings: TransactionSettings, arrived: () => void, withStatement: boolean): Promise<PgTransaction> {
    const begin = platformOf(ormConnection).getBeginTransactionSQL(settings as never).join(';')
    const { sessionContext } = settings
    const lent = new BeginningConnection(pool, await pool.connect(), begin)
    try {
      arrived()
      if (!withStatement || sessionContext !== undefined) await lent.begin()
      if (sessionContext !== undefined) await (ormConnection as unknown as ConnectionInternals).applySessionContext(lent, sessionContext)
    } catch (error) {
      await lent.giveUp()
      throw error
    }
    return new PgTransaction(ormConnection, lent)
  }

  override get beginError (): unknown {
    return this.connection.beginError
  }

  override whenBegun (callback: () => void): void {
    this.connection.whenBegun(() => {
      logQuery(this.ormConnection, this.connection.beginning)
      callback()
    })
  }

  savepoint (name: string): Promise<unknown> {
    return this.connection.command(platformOf(this.ormConnection).getSavepointSQL(name))
  }

  releaseSavepoint (name: string): Promise<unknown> {
    return this.connection.command(platformOf(this.ormConnection).getReleaseSavepointSQL(name))
  }

  rollbackToSavepoint (name: string): Promise<unknown> {
    return this.connection.command(platformOf(this.ormConnection).getRollbackToSavepointSQL(name))
  }

  protected async sendCommit (): Promise<void> {
    let result: PgResult | PgResult[]
    try {
      result = this.wantsPosition ? await this.#commitAndAskWhere() : await this.connection.command('commit')
    } catch (error) {
      this.isInDoubt = !isAnswer(error) // as with pg's `query_timeout`: COMMIT may be on its way
      throw error
    }
    // a transaction that has failed is rolled back, which PostgreSQL does not call an error
    if ((result as PgResult | undefined)?.command === 'ROLLBACK') {
      throw Object.assign(new Error('PostgreSQL has rolled back instead of committing: a statement of the transaction has failed'), { code: FAILED })
    }
  }

  /** Both are answered in one round trip. A position from before the commit would be one that does not have it yet. */
  async #commitAndAskWhere (): Promise<PgResult> {
    const [committed, where] = await this.connection.commitAnd(replication.afterCommit)
    const [answer] = where?.rows ?? []
    if (answer !== undefined) this.position = replication.positionIn(answer)
    return committed!
  }

  protected async sendRollback (): Promise<void> {
    await this.connection.command('rollback')
  }

  protected giveBack (error?: unknown): Promise<void> | undefined {
    return this.connection.release(error)
  }
}

/** Brings `BEGIN` along with its first statement: the server answers both in one round trip. */
class BeginningConnection extends PgConnection {
  /** What begins it. */
  readonly beginning: string
  #hasBegun = false
  #onBegun: (() => void) | undefined
  /** Why there is no transaction: the connection has died. */
  beginError: unknown

  constructor (pool: PgPool, client: PgClient, beginning: string) {
    super(pool, client)
    this.beginning = beginning
  }

  /** Calls `callback` when it has begun, which may be by now. */
  whenBegun (callback: () => void): void {
    if (this.#hasBegun) callback()
    else this.#onBegun = callback
  }

  async begin (): Promise<void> {
    try {
      await this.send(this.beginning)
    } catch (error) {
      this.beginError = error
      throw error
    }
    this.#noteBegun()
  }

  async command (sql: string): Promise<PgResult | PgResult[]> {
    if (!this.#hasBegun) await this.begin()
    return await this.send(sql)
  }

  async commitAnd (sql: string): Promise<PgResult[]> {
    return await sendCommitAndMore(this.client, () => this.command(`commit;${sql}`))
  }

  /** The transaction is to end before it is anybody's. */
  async giveUp (): Promise<void> {
    const error = this.#hasBegun ? await this.send('rollback').then(() => undefined, error => error) : this.beginError
    this.release(error)
  }

  override executeQuery (query: Query): Promise<Result> {
    if (this.#hasBegun) return super.executeQuery(query)
    // PostgreSQL takes several statements only without parameters, as MikroORM 7.2.1 makes all of its own
    return query.parameters.length === 0 ? this.#executeWithBegin(query) : this.#executeAfterBegin(query)
  }

  override async * streamQuery (query: Query, chunkSize: number): AsyncGenerator<Result, undefined> {
    if (!this.#hasBegun) await this.begin()
    return yield * super.streamQuery(query, chunkSize)
  }

  async #executeWithBegin (query: Query): Promise<Result> {
    let results: PgResult | PgResult[]
    try {
      results = await this.send(`${this.beginning};${query.sql}`)
    } catch (error) {
      return await this.#fail(query, error as PgError)
    }
    this.#noteBegun()
    return resultOf(withoutFirst(results))
  }

  async #executeAfterBegin (query: Query): Promise<Result> {
    await this.begin()
    return await super.executeQuery(query)
  }

  async #fail (query: Query, error: PgError): Promise<never | Result> {
    if (isLost(error)) {
      this.beginError = error
      throw error
    }
    // a text that PostgreSQL cannot parse begins nothing: it shall fail in the transaction, like any other statement
    if (isAnswer(error) && error.code !== CANCELLED && await this.#isIdle()) return await this.#executeAfterBegin(query)
    this.#noteBegun() // also if nobody has answered, as with pg's `query_timeout`: BEGIN is on its way
    if (error.position !== undefined) error.position = String(Number(error.position) - this.beginning.length - 1)
    throw error
  }

  /** The state of a connection comes after the error: the answer to nothing comes after both. */
  async #isIdle (): Promise<boolean> {
    await this.send('')
    return this.client.getTransactionStatus() === 'I'
  }

  #noteBegun (): void {
    this.#hasBegun = true
    this.#onBegun?.()
  }
}

/** SQLSTATEs: a query was cancelled, and a transaction has failed before. */
const CANCELLED = '57014'
const FAILED = '25P02'

/** PostgreSQL has said so, and not this process. */
function isAnswer (error: unknown): boolean {
  return (error as PgError | null)?.severity !== undefined
}

/** pg makes an array of several results. The statement itself usually has one. */
function withoutFirst (results: PgResult | PgResult[]): PgResult | PgResult[] {
  if (!Array.isArray(results)) return { command: null, rowCount: null, rows: [] } // BEGIN's: the statement was empty
  return results.length === 2 ? results[1]! : results.slice(1)
}

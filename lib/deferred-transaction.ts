import { EventType, TransactionEventBroadcaster } from '@mikro-orm/core'
import type { AbstractSqlConnection, Kysely, SqlEntityManager, TransactionEventType } from '@mikro-orm/sql'
import { FST_ORM_CONTEXT_ENDED, FST_ORM_READ_ONLY, FST_ORM_STREAM_OPEN, FST_ORM_TRANSACTION_FAILED } from './errors.ts'
import { hold } from './hold.ts'
import type { TransactionMode, TransactionOptions } from './options.ts'
import { PinnedTransaction, type DatabaseConnection, type TransactionSettings } from './pinned-transaction.ts'
import { isRead } from './statement.ts'

/** The context that a transaction belongs to, as far as its errors and its log speak of it. */
export interface TransactionOwner {
  /** such as `POST /books` */
  readonly name: string
  /** how it ended, once it has */
  readonly outcome?: string | undefined
  /** Reports what has failed after the outcome was decided. */
  report (error: unknown, message: string): void
}

type Executor = ReturnType<Kysely<any>['getExecutor']>
export type Query = Parameters<DatabaseConnection['executeQuery']>[0]
export type QueryOptions = Parameters<DatabaseConnection['executeQuery']>[1]
/** Kysely's `QueryResult`, which `@mikro-orm/sql` does not export. */
export interface Result {
  readonly rows: any[]
  readonly numAffectedRows?: bigint
  readonly numChangedRows?: bigint
  readonly insertId?: bigint
}
type Use<T> = (connection: DatabaseConnection) => Promise<T>

interface OpenStream {
  inTransaction: boolean
  cut (): Promise<void>
}

/**
 * Decides for each statement where it runs: a read in autocommit, on whatever connection the pool has free, until the
 * first statement that is not provably a read begins a transaction; from then on everything runs in that.
 *
 * Statements of the transaction take turns in the order in which they came. Once closed, it takes nothing but reads.
 */
export class DeferredTransaction {
  readonly #em: SqlEntityManager
  readonly #owner: TransactionOwner
  readonly #mode: TransactionMode
  readonly #settings: TransactionSettings

  #beginning: Promise<PinnedTransaction> | undefined
  #begun: PinnedTransaction | undefined
  #lastTurn: Promise<void> = Promise.resolve()
  #running = false
  #closed: 'commit' | 'rollback' | undefined
  #refusesReads = false
  #failure: unknown
  readonly #streams = new Set<OpenStream>()
  readonly #reads = new Set<Promise<unknown>>()

  constructor (em: SqlEntityManager, owner: TransactionOwner, { transaction, isolationLevel, readOnly }: TransactionOptions) {
    this.#em = em
    this.#owner = owner
    this.#mode = transaction
    this.#settings = { isolationLevel, readOnly }
  }

  get hasBegun (): boolean {
    return this.#beginning !== undefined
  }

  /** A statement is running, and the end of the transaction has to wait for it (a stream is cut instead). */
  get isRunning (): boolean {
    return this.#running && !this.#isStreaming()
  }

  /** Settled when the reads are done that run in autocommit at the moment; `undefined` if there are none. */
  get reads (): Promise<unknown> | undefined {
    return this.#reads.size === 0 ? undefined : Promise.allSettled(this.#reads)
  }

  /** Takes nothing but reads. */
  get isClosed (): boolean {
    return this.#closed !== undefined
  }

  /** For good, that is: nothing begins after it. */
  get isCommitted (): boolean {
    return this.#closed === 'commit'
  }

  /** For good, that is: nothing begins after it. */
  get isRolledBack (): boolean {
    return this.#closed === 'rollback'
  }

  /** The real transaction, while there is one. */
  get trx (): PinnedTransaction['trx'] | undefined {
    return this.#begun?.trx
  }

  /**
   * The first error of a statement. What has failed leaves nothing that may be committed (PostgreSQL answers such a
   * `COMMIT` with a silent rollback, elsewhere half a flush would be committed), unless the transaction goes back to a
   * savepoint from before it: see `recover()`.
   */
  get failure (): unknown {
    return this.#failure
  }

  /** Runs a statement: `use` gets the connection that it is to run on. */
  execute<T> (query: Query, options: QueryOptions, use: Use<T>): Promise<T> {
    return this.#isAutocommit(query.sql)
      ? this.#runInAutocommit(query.sql, use)
      : this.#run(query.sql, use, options?.signal)
  }

  /** Streams rows. Until the last of them is read, the connection is taken. */
  async * stream (query: Query, chunkSize: number, options: QueryOptions): AsyncGenerator<Result, undefined> {
    const inTransaction = !this.#isAutocommit(query.sql)
    const held = await hold<DatabaseConnection>(use => inTransaction
      ? this.#run(query.sql, use, options?.signal)
      : this.#runInAutocommit(query.sql, use))
    const rows = held.resource.streamQuery<any>(query, chunkSize, options)
    const end = async (): Promise<void> => {
      this.#streams.delete(open)
      await rows.return?.()
      await held.release()
    }
    const open: OpenStream = { inTransaction, cut: end }
    this.#streams.add(open)
    try {
      for (let next = await rows.next(); next.done !== true; next = await rows.next()) {
        yield next.value
      }
      // whoever reads a stream that was cut must not take it for a complete one
      if (!this.#streams.has(open)) throw this.#endedError(query.sql)
    } finally {
      await end()
    }
  }

  /** Begins the transaction now, if it has not begun. */
  async begin (settings?: TransactionSettings): Promise<void> {
    if (this.#closed !== undefined) throw this.#endedError('begin')
    await this.#begin(settings)
  }

  /** Runs a command of the transaction itself, such as a savepoint, in its turn. */
  command<T> (name: string, run: (trx: PinnedTransaction['trx']) => Promise<T>): Promise<T> {
    return this.#run(name, () => run(this.#begun!.trx))
  }

  /** Takes nothing but `reads`, if at all, from now on. For one that has begun, see `commit()` and `rollback()`. */
  close ({ reads }: { reads: boolean }): void {
    this.#closed ??= 'rollback'
    this.#refusesReads = !reads
  }

  /** Forgets the failures since a savepoint, after the transaction has gone back to it. */
  recover (failureBefore: unknown): void {
    this.#failure = failureBefore
  }

  /**
   * Commits what has begun, if anything has; the next write begins anew, unless it was the `last` commit.
   * Resolves with whether there was anything to commit. Rejects with what the database said, with
   * `FST_ORM_TRANSACTION_FAILED` or `FST_ORM_STREAM_OPEN`, and has rolled back then.
   */
  async commit ({ last }: { last: boolean }): Promise<boolean> {
    try {
      await this.#announce(EventType.beforeTransactionCommit)
    } catch (error) {
      await this.rollback({ last })
      throw error
    }
    if (last) this.#closed = 'commit'

    const isStreaming = this.#isStreaming()
    await this.#cutStreams()
    const committed = await this.#end(async transaction => {
      const failure = this.#failure
      if (failure === undefined && !isStreaming) return await this.#convertErrors(transaction.commit())
      await this.#rollbackQuietly(transaction)
      throw isStreaming
        ? new FST_ORM_STREAM_OPEN(this.#owner.name, 'commit')
        : new FST_ORM_TRANSACTION_FAILED(this.#owner.name, { cause: failure })
    })
    if (committed !== undefined) await this.#report(EventType.afterTransactionCommit, committed)
    return committed !== undefined
  }

  /** Rolls back what has begun, if anything has, as soon as the statement that is running has ended. Never rejects. */
  async rollback ({ last }: { last: boolean }): Promise<void> {
    if (last) this.#closed = 'rollback'
    if (this.#begun !== undefined) await this.#report(EventType.beforeTransactionRollback, this.#begun)
    await this.#cutStreams()
    const rolledBack = await this.#end(transaction => this.#rollbackQuietly(transaction))
    if (rolledBack !== undefined) await this.#report(EventType.afterTransactionRollback, rolledBack)
  }

  #isAutocommit (sql: string): boolean {
    // row-level security reads what was set in a transaction: outside of one, other tenants' rows would show
    if (this.#em.getTransactionSessionContext() !== undefined) return false
    if (this.#closed !== undefined) return !this.#refusesReads && isRead(sql)
    return this.#mode === 'on-write' && !this.hasBegun && isRead(sql)
  }

  #runInAutocommit<T> (sql: string, use: Use<T>): Promise<T> {
    const executor = this.#pool()
    if (!executor.adapter.supportsMultipleConnections) this.#assertNoStream(sql)
    const read = executor.provideConnection(use)
    const forget = (): void => { this.#reads.delete(read) }
    this.#reads.add(read)
    read.then(forget, forget)
    return read
  }

  async #run<T> (sql: string, use: Use<T>, signal?: AbortSignal): Promise<T> {
    if (this.#closed !== undefined) throw this.#endedError(sql)
    if (this.#settings.readOnly === true && WRITES.test(sql)) throw new FST_ORM_READ_ONLY(this.#owner.name, shorten(sql))
    this.#assertNoStream(sql)

    const transaction = this.#begun ?? await this.#begin()
    return await this.#inTurn(async () => {
      if (this.#closed === 'rollback' || this.#begun !== transaction) throw this.#endedError(sql)
      signal?.throwIfAborted()
      try {
        return await transaction.provideConnection(use)
      } catch (error) {
        this.#failure ??= error
        throw error
      }
    })
  }

  #begin (settings?: TransactionSettings): Promise<PinnedTransaction> {
    this.#beginning ??= this.#open({ ...this.#settings, ...settings }).catch(error => {
      this.#beginning = undefined
      throw error
    })
    return this.#beginning
  }

  async #open (settings: TransactionSettings): Promise<PinnedTransaction> {
    const events = new TransactionEventBroadcaster(this.#em, { topLevelTransaction: true })
    await events.dispatchEvent(EventType.beforeTransactionStart)
    const transaction = await PinnedTransaction.begin(this.#em.getConnection('write'), {
      ...settings,
      sessionContext: this.#em.getTransactionSessionContext()
    })
    this.#begun = transaction // before the event, whose subscribers may have statements of their own
    this.#failure = undefined
    try {
      await events.dispatchEvent(EventType.afterTransactionStart, transaction.trx)
    } catch (error) {
      this.#begun = undefined
      await this.#rollbackQuietly(transaction)
      throw error
    }
    return transaction
  }

  /** Ends what has begun in its turn, after every statement that was accepted before. */
  async #end (end: (transaction: PinnedTransaction) => Promise<void>): Promise<PinnedTransaction | undefined> {
    await this.#beginning?.catch(() => {})
    return await this.#inTurn(async () => {
      const transaction = this.#begun
      if (transaction === undefined) return undefined
      try {
        await end(transaction)
        return transaction
      } finally {
        this.#begun = this.#beginning = this.#failure = undefined
      }
    })
  }

  async #inTurn<T> (run: () => Promise<T>): Promise<T> {
    const before = this.#lastTurn
    const turn = Promise.withResolvers<void>()
    this.#lastTurn = turn.promise
    await before
    this.#running = true
    try {
      return await run()
    } finally {
      this.#running = false
      turn.resolve()
    }
  }

  async #rollbackQuietly (transaction: PinnedTransaction): Promise<void> {
    await transaction.rollback().catch(error => {
      this.#owner.report(error, `${this.#owner.name}: the rollback has failed, and the connection was given up`)
    })
  }

  #isStreaming (): boolean {
    for (const stream of this.#streams) if (stream.inTransaction) return true
    return false
  }

  async #cutStreams (): Promise<void> {
    for (const stream of this.#streams) if (stream.inTransaction) await stream.cut()
  }

  #assertNoStream (sql: string): void {
    if (this.#streams.size === 0) return
    if (this.#isStreaming() || !this.#pool().adapter.supportsMultipleConnections) {
      throw new FST_ORM_STREAM_OPEN(this.#owner.name, shorten(sql))
    }
  }

  /** Where reads run: a read replica if there is one and MikroORM's `preferReadReplicas` says so. */
  #pool (): Executor {
    const type = this.#em.config.get('preferReadReplicas') ? 'read' : 'write'
    const connection: AbstractSqlConnection = this.#em.getConnection(type)
    return connection.getClient().getExecutor()
  }

  async #announce (event: TransactionEventType): Promise<void> {
    if (this.#begun !== undefined) await new TransactionEventBroadcaster(this.#em).dispatchEvent(event, this.#begun.trx)
  }

  /** Tells MikroORM's subscribers what is decided: one that throws changes nothing about it. */
  async #report (event: TransactionEventType, { trx }: PinnedTransaction): Promise<void> {
    try {
      await new TransactionEventBroadcaster(this.#em).dispatchEvent(event, trx)
    } catch (error) {
      this.#owner.report(error, `${this.#owner.name}: a subscriber to ${event} has failed`)
    }
  }

  /** So that an error handler sees a deferred constraint fail just as it sees one that fails at once. */
  async #convertErrors<T> (promise: Promise<T>): Promise<T> {
    try {
      return await promise
    } catch (error) {
      throw this.#em.getDriver().convertException(error as Error)
    }
  }

  #endedError (sql: string): Error {
    return new FST_ORM_CONTEXT_ENDED(this.#owner.name, this.#owner.outcome ?? 'it is being settled', shorten(sql))
  }
}

/** What a context that is `readOnly` refuses on every database, also on SQLite, which knows no read-only transaction. */
const WRITES = /^\s*(?:insert|update|delete|merge|replace|truncate|create|alter|drop)\b/i

const SHOWN_CHARACTERS = 60

/** Enough of a statement to find it in the code, and no values that follow. */
function shorten (sql: string): string {
  const line = sql.trim().replace(/\s+/g, ' ').replace(/ (?:values|set|where)\b.*/i, ' …').replaceAll(/'[^']*'?/g, "'…'")
  return line.length > SHOWN_CHARACTERS ? `${line.slice(0, SHOWN_CHARACTERS)}…` : line
}

import type { Kysely, SqlEntityManager } from '@mikro-orm/sql'
import { AutocommitReads } from './autocommit-reads.ts'
import { acquireForTransaction, holdersAround } from '../drivers/connection-wait.ts'
import { driverOf } from '../drivers/driver-of.ts'
import type { Driver } from '../drivers/driver.ts'
import { FST_ORM_CONTEXT_ENDED, FST_ORM_READ_ONLY, FST_ORM_STREAM_OPEN, FST_ORM_STREAM_TIMEOUT, FST_ORM_TRANSACTION_COMMAND, FST_ORM_TRANSACTION_FAILED, withCallersLine } from '../errors.ts'
import { lease } from '../util/lease.ts'
import { OpenStreams, type StreamOwner } from './open-streams.ts'
import type { TransactionOptions } from '../options/options.ts'
import type { DatabaseConnection, PinnedTransaction, Query, QueryOptions, Result, TransactionSettings, Use } from '../drivers/pinned-transaction.ts'
import { RunningStatements } from './running-statements.ts'
import { OpenSavepoints, type Savepoint } from './savepoint.ts'
import { endsATransaction, isModification, isRead, shorten } from '../sql/statement.ts'
import { StatisticsOfScope, type Statistics } from './statistics.ts'
import { TransactionEvents } from './transaction-events.ts'
import type { TransactionOwner } from './transaction-owner.ts'
import { Mutex } from '../util/mutex.ts'

interface Failure {
  /** A statement, or what else was done. */
  readonly what: string
  readonly error: unknown
}

interface InTransaction {
  signal?: AbortSignal | undefined
  isStatement?: boolean
  /** Goes back to a savepoint, which may mend what has failed. */
  isMending?: boolean
}

const NOTHING: InTransaction = {}

const TAKEN_ALONG = 'An em.transactional() was rolled back, and took along what was written outside of it in the meantime. Give parallel work a context of its own: runInContext()'

/**
 * Decides for each statement where it runs: a read in autocommit, on whatever connection the pool has free, until the
 * first statement that is not provably a read begins a transaction; from then on everything runs in that.
 *
 * Statements of the transaction take turns in the order in which they came. Once closed, it takes nothing but reads.
 */
export class DeferredTransaction {
  readonly #em: SqlEntityManager
  readonly #owner: TransactionOwner
  readonly #options: TransactionOptions
  readonly #events: TransactionEvents
  readonly #mutex = new Mutex()
  readonly #streams = new OpenStreams()
  readonly #running = new RunningStatements()
  readonly #reads: AutocommitReads
  readonly #savepoints: OpenSavepoints
  readonly #driver: Driver
  readonly #statistics = new StatisticsOfScope()

  #beginning: Promise<PinnedTransaction> | undefined
  #begun: PinnedTransaction | undefined
  /**
   * What has failed first. After it, nothing is sent and nothing may be committed, unless the transaction goes back to a
   * savepoint from before it: PostgreSQL refuses both, and elsewhere half a flush would be committed. A database may also
   * have rolled back by itself (a trigger of SQLite's, a deadlock in MySQL), and would commit by itself what comes next.
   */
  #failure: Failure | undefined
  #closed: 'commit' | 'rollback' | undefined
  #refusesReads = false
  #isInDoubt = false
  /** What MikroORM and users see of it. */
  view!: Kysely<any>

  constructor (em: SqlEntityManager, owner: TransactionOwner, options: TransactionOptions) {
    this.#em = em
    this.#owner = owner
    this.#options = options
    this.#events = new TransactionEvents(em, owner, () => this.view)
    this.#driver = driverOf(em)
    this.#reads = new AutocommitReads(em, this.#driver, owner, this.#running, sql => this.#endedError(sql))
    this.#savepoints = new OpenSavepoints(this.#driver.dialect)
  }

  /** Has begun, or is about to. */
  get isOpen (): boolean {
    return this.#beginning !== undefined
  }

  /** Is waiting for a connection, or for the answer to its `BEGIN`. */
  get isBeginning (): boolean {
    return this.isOpen && this.#begun === undefined
  }

  /** A statement of it is running, which its end has to wait for. (A stream that nobody reads at the moment is cut.) */
  get isBusy (): boolean {
    return this.#mutex.isLocked && !this.#streams.hasIdleOneInTransaction
  }

  /** Whether an `em.transactional()` has not ended yet that the caller is not inside of. */
  get hasSavepointBeside (): boolean {
    return this.#savepoints.hasOneBeside
  }

  /** Whether an `em.transactional()` has not ended yet. */
  get hasOpenSavepoint (): boolean {
    return !this.#savepoints.isEmpty
  }

  /** How many it holds; the only one of a database also counts while it is waited for. */
  get connections (): number {
    const holds = this.#driver.isPool ? this.#begun !== undefined : this.isOpen
    return Number(holds) + Number(this.#streams.hasOneOutsideTransaction)
  }

  /** The last commit was sent, and its connection died: it may have been committed, or not. */
  get isInDoubt (): boolean {
    return this.#isInDoubt
  }

  /** Settled when the reads outside of the transaction are done; `undefined` if there are none. */
  get reads (): Promise<unknown> | undefined {
    return this.#reads.done
  }

  /** Settled when the statements are done that have a connection at the moment. */
  get running (): Promise<unknown> {
    return this.#running.done
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

  /** The connection of the real transaction while there is one. */
  get connection (): DatabaseConnection | undefined {
    return this.#begun?.connection
  }

  /** How many statements have come so far. */
  get statements (): number {
    return this.#statistics.statements
  }

  get held (): number {
    return this.#statistics.held
  }

  get statistics (): Statistics {
    return this.#statistics.all
  }

  /** For what fails between statements, and has left half of its work. */
  fail (error: unknown): void {
    if (this.#begun !== undefined) this.#failure ??= { what: 'a flush, between its statements', error }
  }

  /**
   * Runs a statement: `use` gets the connection that it is to run on, and without a signal does nothing but execute it
   * there. `part` says who has sent it.
   */
  execute (query: Query, part: Savepoint, options: QueryOptions, use: Use<Result>): Promise<Result> {
    const { sql } = query
    const isAutocommit = this.#isAutocommit(sql)
    this.#statistics.count(sql, isAutocommit)
    const signal = options?.signal
    if (isAutocommit) {
      this.#assertStreamsLeaveRoom(sql)
      return this.#reads.execute(sql, use)
    }
    return this.#runInTransaction(sql, part, use, { signal, isStatement: signal === undefined })
  }

  /** Streams rows. Until the last of them is read, the connection is taken. */
  async * stream (query: Query, part: Savepoint, chunkSize: number, options: QueryOptions): AsyncGenerator<Result, undefined> {
    // it would be open when the transaction ends; under a session context, it cannot run after that
    const committed = this.#em.getTransactionSessionContext() === undefined ? this.#owner.hastenCommit() : undefined
    if (committed !== undefined) await committed
    const isInTransaction = !this.#isAutocommit(query.sql)
    this.#statistics.count(query.sql, !isInTransaction)
    const held = await lease<DatabaseConnection>(use => isInTransaction
      ? this.#runInTransaction(query.sql, part, use, { signal: options?.signal })
      : this.#runInAutocommit(query.sql, use))
    const probe = this.#driver.probeFor(held.resource)
    try {
      yield * this.#streams.read(held, isInTransaction, this.#streamOwner(query.sql), query, chunkSize, options, probe)
    } catch (error) {
      if (isInTransaction) this.#failWith(query.sql, error)
      throw error
    }
  }

  /** Begins the transaction now, if it has not begun. */
  async begin (settings?: TransactionSettings): Promise<void> {
    if (this.isClosed) throw this.#endedError('begin')
    await this.#begin(settings)
  }

  async openSavepoint (savepoint: Savepoint, open: (transaction: PinnedTransaction) => Promise<unknown>): Promise<void> {
    await this.#owner.untilSettled()
    await savepoint.lock()
    this.#savepoints.add(savepoint)
    try {
      await this.#command('savepoint', savepoint, open)
    } catch (error) {
      this.#leave(savepoint)
      throw error
    }
    savepoint.failureBefore = this.#failure
    savepoint.isOpen = true
  }

  async releaseSavepoint (savepoint: Savepoint, release: (transaction: PinnedTransaction) => Promise<unknown>): Promise<void> {
    // a context that settles inside em.transactional() has released its savepoints with the commit
    if (!this.isCommitted) await this.#command('release savepoint', savepoint, release)
    this.#leave(savepoint)
  }

  /** Whatever has failed since the savepoint is mended by it. */
  async rollbackToSavepoint (savepoint: Savepoint, rollback: (transaction: PinnedTransaction) => Promise<unknown>): Promise<void> {
    try {
      if (this.isRolledBack) return
      await this.#runInTransaction('rollback to savepoint', savepoint, () => rollback(this.#begun!), { isMending: true })
      this.#failure = savepoint.hasForeignWrites ? { what: 'em.transactional()', error: new Error(TAKEN_ALONG) } : savepoint.failureBefore
    } finally {
      this.#leave(savepoint)
    }
    await this.#owner.wentBackTo(savepoint)
  }

  /** Takes nothing but `reads`, if at all, from now on. For one that has begun, see `commit()` and `rollback()`. */
  close ({ reads }: { reads: boolean }): void {
    this.#closed ??= 'rollback'
    this.#refusesReads = !reads
  }

  /** The last commit of one that has not begun. */
  closeIdle (): void {
    this.#closed = 'commit'
  }

  /**
   * Commits what has begun, if anything has; the next write begins anew, unless it was the `last` commit.
   * Resolves with whether there was anything to commit. Rejects with what the database said, with
   * `FST_ORM_TRANSACTION_FAILED` or `FST_ORM_STREAM_OPEN`, and has rolled back then.
   */
  async commit ({ last }: { last: boolean }): Promise<boolean> {
    try {
      if (this.#begun !== undefined) await this.#events.beforeCommit()
    } catch (error) {
      await this.rollback({ last })
      throw error
    }
    if (last) this.#closed = 'commit'
    if (!this.isOpen) return false

    const hasOpenStream = this.#streams.hasOneInTransaction
    if (hasOpenStream) await this.#streams.cutThoseInTransaction()
    const committed = await this.#end(transaction => {
      if (hasOpenStream) return this.#rollbackAndThrow(transaction, new FST_ORM_STREAM_OPEN(this.#owner.name, 'commit'))
      if (this.#failure === undefined) return this.#commit(transaction)
      return this.#rollbackAndThrow(transaction, this.#failedError(this.#failure))
    })
    if (committed !== undefined) await this.#events.afterCommit()
    return committed !== undefined
  }

  /** Rolls back what has begun, if anything has, as soon as the statement that is running has ended. Never rejects. */
  async rollback ({ last }: { last: boolean }): Promise<void> {
    if (last) this.#closed = 'rollback'
    if (this.#begun !== undefined) await this.#events.beforeRollback()
    await this.#streams.cutThoseInTransaction()
    const rolledBack = await this.#end(transaction => this.#rollback(transaction))
    if (rolledBack !== undefined) await this.#events.afterRollback()
  }

  /** Cancels the statements that are running, where the database can. */
  cancel (): void {
    this.#running.cancel(connection => this.#driver.cancel(connection))
  }

  /** Ends the streams that are still open: nobody will read on. Resolves when that is done; `undefined` if there are none. */
  release (): Promise<void> | undefined {
    return this.#streams.isEmpty ? undefined : this.#streams.cutAll()
  }

  #streamOwner (sql: string): StreamOwner {
    const owner = this.#owner
    const database = this.#em.name
    return {
      warnMs: owner.warnHeldMs,
      timeoutMs: owner.streamTimeout,
      cutError: () => this.#endedError(sql),
      onSlow: waited => owner.log?.warn(`${owner.name} keeps a connection to "${database}" for a stream of rows whose reader has not read on for ${Math.round(waited)} ms. Read faster, load the rows with find(), or set streamTimeout`),
      onTimeout () {
        const error = new FST_ORM_STREAM_TIMEOUT(owner.name, database, String(owner.streamTimeout))
        owner.onStreamTimeout(error)
        return error
      }
    }
  }

  #isAutocommit (sql: string): boolean {
    // row-level security reads what was set in a transaction: outside of one, other tenants' rows would show
    if (this.#em.getTransactionSessionContext() !== undefined) return false
    if (this.isClosed) return !this.#refusesReads && isRead(sql, this.#driver.dialect)
    return this.#options.transaction === 'on-write' && !this.isOpen && isRead(sql, this.#driver.dialect)
  }

  #runInAutocommit<T> (sql: string, use: Use<T>): Promise<T> {
    this.#assertStreamsLeaveRoom(sql)
    return this.#reads.run(sql, use)
  }

  #assertStreamsLeaveRoom (sql: string): void {
    if (!this.#driver.isPool) this.#assertNoStream(sql)
  }

  #command (name: string, part: Savepoint, run: (transaction: PinnedTransaction) => Promise<unknown>): Promise<unknown> {
    return this.#runInTransaction(name, part, () => run(this.#begun!))
  }

  /** If `use` does nothing but execute a statement, for certain, the transaction may begin with that (`isStatement`). */
  async #runInTransaction<T> (sql: string, part: Savepoint, use: Use<T>, { signal, isStatement = false, isMending = false }: InTransaction = NOTHING): Promise<T> {
    if (this.isClosed) throw this.#endedError(sql)
    if (endsATransaction(sql, this.#driver.dialect)) throw withCallersLine(() => new FST_ORM_TRANSACTION_COMMAND(this.#owner.name, shorten(sql)))
    this.#owner.noteWrite()
    if (this.#options.readOnly === true && isModification(sql)) {
      throw withCallersLine(() => new FST_ORM_READ_ONLY(this.#owner.name, shorten(sql)))
    }
    this.#assertNoStream(sql)

    // a subscriber to the start cannot wait for it: before it, there is no transaction to run in
    const { isStarting } = this.#events
    if (isStarting && this.#begun === undefined) return await this.#runInAutocommit(sql, use)
    const transaction = isStarting ? this.#begun : await this.#begin({}, isStatement)
    const turn = this.#mutex.lock()
    if (turn !== undefined) await turn
    try {
      if (transaction?.beginError !== undefined) throw transaction.beginError // whose statement came before
      if (this.isRolledBack || transaction === undefined || this.#begun !== transaction) throw this.#endedError(sql)
      if (this.#failure !== undefined && !isMending) throw this.#failedError(this.#failure)
      signal?.throwIfAborted()
      this.#savepoints.note(sql, part)
      try {
        return await this.#running.run(transaction.connection, use)
      } catch (error) {
        if (transaction.beginError === undefined) this.#failWith(sql, error)
        else await this.#abandon(transaction)
        throw error
      }
    } finally {
      this.#mutex.unlock()
    }
  }

  /** The first statement has failed before there was a transaction: the next one begins anew. */
  async #abandon (transaction: PinnedTransaction): Promise<void> {
    await this.#running.cancelled // or it might hit the next statement of that connection
    await transaction.abandon()
    this.#hasEnded()
  }

  #leave (savepoint: Savepoint): void {
    this.#savepoints.delete(savepoint)
    savepoint.unlock()
  }

  #begin (settings: TransactionSettings = {}, withStatement = false): Promise<PinnedTransaction> {
    const { isolationLevel, readOnly } = this.#options
    this.#beginning ??= this.#open({ isolationLevel, readOnly, ...settings }, withStatement).catch(error => {
      this.#beginning = undefined
      throw error
    })
    return this.#beginning
  }

  async #open (settings: TransactionSettings, withStatement: boolean): Promise<PinnedTransaction> {
    await this.#events.beforeStart()
    const around = holdersAround(this.#owner, this.#driver)
    const holders = this.#streams.hasOneOutsideTransaction ? [this.#owner, ...around] : around
    const { sessionContext = this.#em.getTransactionSessionContext() } = settings
    const transaction = await acquireForTransaction(this.#owner, holders, this.#driver, arrived => (
      this.#driver.begin({ ...settings, sessionContext }, {
        owner: this.#owner,
        arrived: () => {
          arrived()
          if (this.isRolledBack) throw this.#endedError('begin')
        },
        withStatement
      }).catch(error => { throw this.#em.getDriver().convertException(error) })
    ))
    this.#begun = transaction // subscribers to the start may have statements of their own
    this.#statistics.begin()
    transaction.whenBegun(() => this.#owner.onBegun(this.#em.name))
    try {
      await this.#events.afterStart()
    } catch (error) {
      this.#begun = undefined
      await this.#rollback(transaction)
      this.#hasGivenBack()
      throw error
    }
    return transaction
  }

  /** Ends what has begun in its turn, after every statement that was accepted before. */
  async #end (end: (transaction: PinnedTransaction) => Promise<void>): Promise<PinnedTransaction | undefined> {
    await this.#beginning?.catch(() => {}) // also if it has begun: whoever has waited for that comes first
    const turn = this.#mutex.lock()
    if (turn !== undefined) await turn
    const transaction = this.#begun
    try {
      if (transaction === undefined) return undefined
      const { cancelled } = this.#running
      if (cancelled !== undefined) await cancelled // or it might hit the statement that ends the transaction
      await end(transaction)
      return transaction
    } finally {
      if (transaction !== undefined) this.#hasEnded()
      this.#mutex.unlock()
    }
  }

  #hasEnded (): void {
    this.#begun = this.#beginning = this.#failure = undefined
    this.#savepoints.clear()
    this.#hasGivenBack()
  }

  #hasGivenBack (): void {
    this.#statistics.end()
    this.#driver.gate.release()
  }

  /** So that an error handler sees a deferred constraint fail just as it sees one that fails at once. */
  async #commit (transaction: PinnedTransaction): Promise<void> {
    try {
      await transaction.commit()
    } catch (error) {
      this.#isInDoubt = transaction.isInDoubt
      throw this.#em.getDriver().convertException(error as Error)
    }
  }

  async #rollback (transaction: PinnedTransaction): Promise<void> {
    try {
      await transaction.rollback()
    } catch (error) {
      this.#owner.report(error, `${this.#owner.name}: the rollback has failed, and the connection was given up`)
    }
  }

  async #rollbackAndThrow (transaction: PinnedTransaction, error: Error): Promise<void> {
    await this.#rollback(transaction)
    throw error
  }

  #failWith (sql: string, error: unknown): void {
    this.#failure ??= { what: shorten(sql), error }
  }

  #failedError ({ what, error }: Failure): Error {
    return withCallersLine(() => new FST_ORM_TRANSACTION_FAILED(this.#owner.name, what, { cause: error }))
  }

  #assertNoStream (sql: string): void {
    if (this.#streams.isEmpty) return
    if (this.#streams.hasOneInTransaction || !this.#driver.isPool) {
      throw withCallersLine(() => new FST_ORM_STREAM_OPEN(this.#owner.name, shorten(sql)))
    }
  }

  #endedError (sql: string): Error {
    return withCallersLine(() => new FST_ORM_CONTEXT_ENDED(this.#owner.name, this.#owner.outcome ?? 'it is being settled', shorten(sql)))
  }
}

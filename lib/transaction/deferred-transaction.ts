import type { SqlEntityManager } from '@mikro-orm/sql'
import type { DatabaseConnection, PinnedTransaction, Query, QueryOptions, Result, Use } from '../drivers/pinned-transaction.ts'
import { FST_ORM_IMPLICIT_COMMIT, FST_ORM_READ_ONLY, FST_ORM_STREAM_OPEN, FST_ORM_TRANSACTION_COMMAND, withCallersLine } from '../errors.ts'
import type { TransactionOptions } from '../options/options.ts'
import { endsATransaction, implicitCommitOf, isModification, isRead, shorten } from '../sql/statement.ts'
import { lease } from '../util/lease.ts'
import { AutocommitReads } from './autocommit-reads.ts'
import type { DatabaseFreshness } from './freshness.ts'
import { observe, statement, type ObservedStatement } from './observed-statement.ts'
import type { Savepoint } from './savepoint.ts'
import { SerialTransaction } from './serial-transaction.ts'
import { streamOwner } from './stream-owner.ts'
import type { TransactionOwner } from './transaction-owner.ts'

interface InTransaction {
  signal?: AbortSignal | undefined
  isStatement?: boolean
  /** Goes back to a savepoint, which may mend what has failed. */
  isMending?: boolean
}

const NOTHING: InTransaction = {}

/**
 * Decides for each statement where it runs: a read in autocommit, on whatever connection the pool has free, until the
 * first statement that is not provably a read begins a transaction; from then on everything runs in that. Once closed, it
 * takes nothing but reads.
 */
export class DeferredTransaction extends SerialTransaction {
  readonly #reads: AutocommitReads
  #refusesReads = false

  constructor (em: SqlEntityManager, owner: TransactionOwner, options: TransactionOptions) {
    super(em, owner, options)
    this.#reads = new AutocommitReads(em, this.driver, this.replicas, owner, this.statements, this.statistics, sql => this.endedError(sql))
  }

  /** What has to be seen where this runs. */
  get freshness (): DatabaseFreshness {
    return this.owner.freshness.of(this.driver, this.em.name)
  }

  /** Connections that it holds. Where a database has one only, who waits for it counts as holding it. */
  get connections (): number {
    const holds = this.driver.isPool ? this.begun !== undefined && this.begun.replica === undefined : this.isOpen
    return Number(holds) + Number(this.streams.hasOneOutsideTransaction)
  }

  /** Something is read outside of the transaction. */
  get isReading (): boolean {
    return this.#reads.areRunning || this.streams.hasOneOutsideTransaction
  }

  /** Settled when the reads outside of the transaction are done; `undefined` if there are none. */
  get reads (): Promise<unknown> | undefined {
    return this.#reads.done
  }

  /** Settled when the statements are done that have a connection at the moment. */
  get running (): Promise<unknown> {
    return this.statements.done
  }

  /**
   * Runs a statement: `use` gets the connection that it is to run on, and without a signal does nothing but execute it
   * there. `part` says who has sent it.
   */
  execute ({ sql }: Query, part: Savepoint, options: QueryOptions, use: Use<Result>): Promise<Result> {
    const isAutocommit = this.#isAutocommit(sql)
    this.statistics.count(sql, isAutocommit)
    const observed = this.#observe(sql, isAutocommit)
    if (observed !== undefined) return observed.run(use, use => this.#execute(sql, isAutocommit, part, options, use))
    return this.#execute(sql, isAutocommit, part, options, use)
  }

  #execute (sql: string, isAutocommit: boolean, part: Savepoint, options: QueryOptions, use: Use<Result>): Promise<Result> {
    if (isAutocommit) {
      this.#assertStreamsLeaveRoom(sql)
      return this.#reads.execute(sql, use)
    }
    const signal = options?.signal
    return this.#runInTransaction(sql, part, use, { signal, isStatement: signal === undefined })
  }

  /** Streams rows. Until the last of them is read, the connection is taken. */
  async * stream (query: Query, part: Savepoint, chunkSize: number, options: QueryOptions): AsyncGenerator<Result, undefined> {
    // it would be open when the transaction ends; under a session context, it cannot run after that
    const committed = this.em.getTransactionSessionContext() === undefined ? this.owner.hastenCommit() : undefined
    if (committed !== undefined) await committed
    const isInTransaction = !this.#isAutocommit(query.sql)
    this.statistics.count(query.sql, !isInTransaction)
    const observed = this.#observe(query.sql, !isInTransaction)
    const rows = this.#stream(query, isInTransaction, part, chunkSize, options, observed)
    return yield * observed?.stream(rows) ?? rows
  }

  async * #stream (
    query: Query, isInTransaction: boolean, part: Savepoint, chunkSize: number, options: QueryOptions, observed: ObservedStatement | undefined
  ): AsyncGenerator<Result, undefined> {
    if (!isInTransaction) this.#assertStreamsLeaveRoom(query.sql)
    const held = await lease<DatabaseConnection>(use => {
      const noted = observed?.noting(use) ?? use
      return isInTransaction ? this.#runInTransaction(query.sql, part, noted, { signal: options?.signal }) : this.#reads.run(query.sql, noted)
    })
    try {
      yield * this.streams.read(this.driver, held, isInTransaction, streamOwner(this.owner, this.em.name, () => this.endedError(query.sql, part)), query, chunkSize, options)
    } catch (error) {
      if (isInTransaction && !part.isTakenBack) this.noteFailure(shorten(query.sql), error)
      throw error
    }
  }

  async openSavepoint (savepoint: Savepoint, open: (transaction: PinnedTransaction) => Promise<unknown>): Promise<void> {
    await this.owner.untilSettled()
    await savepoint.lock()
    this.savepoints.add(savepoint)
    try {
      await this.#command('savepoint', savepoint, async transaction => {
        await open(transaction)
        savepoint.open(this.failure)
      })
    } catch (error) {
      this.#leave(savepoint)
      throw error
    }
  }

  async releaseSavepoint (savepoint: Savepoint, release: (transaction: PinnedTransaction) => Promise<unknown>): Promise<void> {
    // a context that settles inside em.transactional() has released its savepoints with the commit
    if (this.closed !== 'commit') await this.#command('release savepoint', savepoint, release)
    this.#leave(savepoint)
  }

  /** Whatever has failed since the savepoint is mended by it. */
  async rollbackToSavepoint (savepoint: Savepoint, rollback: (transaction: PinnedTransaction) => Promise<unknown>): Promise<void> {
    try {
      if (this.closed === 'rollback' || this.failure?.isFinal === true) return
      await this.streams.cutThoseInTransaction() // nothing can be sent beside them, and what is inside would stay
      await this.#command('rollback to savepoint', savepoint, async transaction => {
        await rollback(transaction)
        this.failure = savepoint.takeBack()
      }, { isMending: true })
    } finally {
      this.#leave(savepoint)
    }
    await this.owner.wentBackTo(savepoint)
  }

  /** For what fails between statements, and has left half of its work. */
  noteFailedFlush (error: unknown): void {
    if (this.begun !== undefined) this.noteFailure('a flush, between its statements', error)
  }

  /** The last commit of one that has not begun. */
  closeIdle (): void {
    this.closed = 'commit'
  }

  /** Takes nothing but `reads`, if at all, from now on. For one that has begun, see `commit()` and `rollback()`. */
  refuseWrites ({ reads }: { reads: boolean }): void {
    this.closed ??= 'rollback'
    this.#refusesReads = !reads
  }

  /** Cancels the statements that are running, or that on `only`, where the database can. */
  cancel (only?: DatabaseConnection): void {
    this.statements.cancel((connection, ended) => this.driver.cancel(connection, ended), only)
  }

  /** Ends the streams that are still open: nobody will read on. Resolves when that is done; `undefined` if there are none. */
  release (): Promise<void> | undefined {
    return this.streams.isEmpty ? undefined : this.streams.cutAll()
  }

  #isAutocommit (sql: string): boolean {
    // row-level security reads what was set in a transaction: outside of one, other tenants' rows would show
    if (this.em.getTransactionSessionContext() !== undefined) return false
    if (this.closed !== undefined) return !this.#refusesReads && isRead(sql, this.driver.dialect)
    return this.options.transaction === 'on-write' && !this.isOpen && isRead(sql, this.driver.dialect)
  }

  #command (name: string, part: Savepoint, run: (transaction: PinnedTransaction) => Promise<unknown>, options?: InTransaction): Promise<unknown> {
    const use: Use<unknown> = () => run(this.begun!)
    const observed = observe(this, 'savepoint', name)
    return observed === undefined
      ? this.#runInTransaction(name, part, use, options)
      : observed.run(use, use => this.#runInTransaction(name, part, use, options))
  }

  #observe (sql: string, isAutocommit: boolean): ObservedStatement | undefined {
    return statement.hasSubscribers ? observe(this, isAutocommit || isRead(sql, this.driver.dialect) ? 'read' : 'write', sql) : undefined
  }

  /** If `use` does nothing but execute a statement, for certain, the transaction may begin with that (`isStatement`). */
  async #runInTransaction<T> (sql: string, part: Savepoint, use: Use<T>, options: InTransaction = NOTHING): Promise<T> {
    const { signal, isStatement, isMending } = options
    if (this.closed !== undefined) throw this.endedError(sql)
    if (endsATransaction(sql, this.driver.dialect)) throw withCallersLine(() => new FST_ORM_TRANSACTION_COMMAND(this.owner.name, shorten(sql)))
    if (this.options.readOnly === true && isModification(sql)) {
      throw withCallersLine(() => new FST_ORM_READ_ONLY(this.owner.name, shorten(sql)))
    }
    const implicitCommit = implicitCommitOf(sql, this.driver.dialect)
    if (implicitCommit !== undefined) return await this.#runWithoutTransaction(sql, implicitCommit === 'alone', use)
    this.#assertNoStream(sql)
    this.hasWritten ||= !isRead(sql, this.driver.dialect)
    if (this.replicas !== undefined && this.hasWritten) this.freshness.noteWrite()

    // a subscriber to the start cannot wait for it: before it, there is no transaction to run in
    const { isStarting } = this.events
    if (isStarting && this.begun === undefined) return await this.#reads.runOnPrimary(sql, use)
    const transaction = isStarting ? this.begun : await this.ensureBegun({}, isStatement, sql)
    const turn = this.mutex.lock()
    if (turn !== undefined) await turn
    const isEndedByHand = this.closed === undefined && !isStarting && this.begun !== transaction && transaction!.beginError === undefined
    if (!isEndedByHand || part.parent !== undefined) return await this.runInTurn(sql, part, transaction, use, signal, isMending)
    this.mutex.unlock() // the commit or rollback was on its way, and another transaction begins after it
    return await this.#runInTransaction(sql, part, use, options)
  }

  /** For what commits by itself: a transaction that has only read is ended before it, as the database would, and another begins after it. */
  async #runWithoutTransaction<T> (sql: string, isAlone: boolean, use: Use<T>): Promise<T> {
    if (this.options.readOnly === true) throw withCallersLine(() => new FST_ORM_READ_ONLY(this.owner.name, shorten(sql)))
    if (!isAlone || (this.isOpen && (this.hasWritten || this.events.isStarting))) {
      throw withCallersLine(() => new FST_ORM_IMPLICIT_COMMIT(this.owner.name, shorten(sql)))
    }
    this.#assertNoStream(sql)
    await this.commit({ last: false })
    if (this.replicas !== undefined) this.freshness.noteWrite()
    const result = await this.#reads.runOnPrimary(sql, use)
    if (this.owner.tracksPositions) this.freshness.noteCommit()
    this.owner.noteCommit()
    return result
  }

  #leave (savepoint: Savepoint): void {
    this.savepoints.delete(savepoint)
    savepoint.unlock()
  }

  #assertStreamsLeaveRoom (sql: string): void {
    if (!this.driver.isPool) this.#assertNoStream(sql)
  }

  #assertNoStream (sql: string): void {
    if (this.streams.isEmpty) return
    if (this.streams.hasOneInTransaction || !this.driver.isPool) {
      throw withCallersLine(() => new FST_ORM_STREAM_OPEN(this.owner.name, shorten(sql)))
    }
  }
}

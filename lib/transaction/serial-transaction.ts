import type { Kysely, SqlEntityManager } from '@mikro-orm/sql'
import { driverOf } from '../drivers/driver-of.ts'
import type { Driver } from '../drivers/driver.ts'
import { endsTransaction } from '../drivers/errors.ts'
import type { DatabaseConnection, PinnedTransaction, TransactionSettings, Use } from '../drivers/pinned-transaction.ts'
import type { Replicas } from '../drivers/replicas/replicas.ts'
import { replicasOf } from '../drivers/replicas/replicas-of.ts'
import { FST_ORM_CONTEXT_ENDED, FST_ORM_STREAM_OPEN, FST_ORM_TRANSACTION_FAILED, withCallersLine } from '../errors.ts'
import type { TransactionOptions } from '../options/options.ts'
import { shorten } from '../sql/statement.ts'
import { Mutex } from '../util/mutex.ts'
import { beginTransaction } from './begin-transaction.ts'
import { callersLine } from './callers-line.ts'
import { commitTransaction, rollBackTransaction } from './end-transaction.ts'
import type { DatabaseFreshness } from './freshness.ts'
import { observe } from './observed-statement.ts'
import { OpenStreams } from './open-streams.ts'
import { runGuarded } from './run-guarded.ts'
import { RunningStatements } from './running-statements.ts'
import { OpenSavepoints, type Failure, type Savepoint } from './savepoint.ts'
import { Statistics } from './statistics.ts'
import { TransactionEvents } from './transaction-events.ts'
import { warn, type TransactionOwner } from './transaction-owner.ts'

/**
 * A transaction that begins when it is first needed, and in which statements take turns, in the order in which they came.
 * After it has been committed or rolled back, what comes next begins another, until it is closed.
 */
export abstract class SerialTransaction {
  abstract readonly freshness: DatabaseFreshness
  readonly em: SqlEntityManager
  readonly owner: TransactionOwner
  readonly options: TransactionOptions
  readonly driver: Driver
  readonly replicas: Replicas | undefined
  protected readonly events: TransactionEvents
  readonly streams: OpenStreams = new OpenStreams()
  protected readonly statements: RunningStatements = new RunningStatements()
  readonly savepoints: OpenSavepoints
  protected readonly mutex: Mutex = new Mutex()
  protected begun: PinnedTransaction | undefined
  /**
   * What has failed first. After it, nothing is sent and nothing may be committed, unless the transaction goes back to a
   * savepoint from before it: PostgreSQL refuses both, and elsewhere half a flush would be committed. A database may also
   * have rolled back by itself (a trigger of SQLite's, a deadlock in MySQL), and would commit by itself what comes next.
   */
  protected failure: Failure | undefined
  /** Something else than reads was accepted for the one that is open. */
  protected hasWritten = false
  #beginning: Promise<PinnedTransaction> | undefined
  /** Of the real transaction: no other in the process has it. */
  number = 0
  /** Ended for good: nothing begins after it, and it takes nothing but reads. */
  closed: 'commit' | 'rollback' | undefined
  /** What it has done so far. */
  readonly statistics: Statistics = new Statistics()
  /** The last commit was sent, and its connection died: it may have been committed, or not. */
  isInDoubt = false
  /** What MikroORM and users see of it. */
  view!: Kysely<any>

  constructor (em: SqlEntityManager, owner: TransactionOwner, options: TransactionOptions) {
    this.em = em
    this.owner = owner
    this.options = options
    this.driver = driverOf(em)
    this.replicas = replicasOf(em, this.driver, options)
    this.driver.watchServer?.(problem => warn(owner, em.name, problem))
    this.events = new TransactionEvents(em, owner, () => this.view)
    this.savepoints = new OpenSavepoints(this.driver.dialect)
  }

  /** Has begun, or is about to. */
  get isOpen (): boolean {
    return this.#beginning !== undefined
  }

  /** Is waiting for a connection, or for the answer to its `BEGIN`. */
  get isBeginning (): boolean {
    return this.isOpen && this.begun === undefined
  }

  /** A statement is running that its end has to wait for. (A stream that nobody reads at the moment is cut.) */
  get isBusy (): boolean {
    return this.mutex.isLocked && !this.streams.hasIdleOneInTransaction
  }

  /** The connection of the real transaction while there is one. */
  get connection (): DatabaseConnection | undefined {
    return this.begun?.connection
  }

  /** Begins the transaction now, if it has not begun. */
  async begin (settings?: TransactionSettings): Promise<void> {
    if (this.closed !== undefined) throw this.endedError('begin')
    await this.ensureBegun(settings)
  }

  /**
   * Commits what has begun, if anything has; the next write begins anew, unless it was the `last` commit.
   * Resolves with whether there was anything to commit. Rejects with what the database said, with
   * `FST_ORM_TRANSACTION_FAILED` or `FST_ORM_STREAM_OPEN`, and has rolled back then.
   */
  async commit ({ last }: { last: boolean }): Promise<boolean> {
    try {
      if (this.begun !== undefined) await this.events.beforeCommit()
    } catch (error) {
      await this.rollback({ last })
      throw error
    }
    if (last) this.closed = 'commit'
    if (!this.isOpen) return false

    const hasOpenStream = this.streams.hasOneInTransaction
    if (hasOpenStream) await this.streams.cutThoseInTransaction()
    const committed = await this.#end(transaction => {
      const refusal = hasOpenStream ? new FST_ORM_STREAM_OPEN(this.owner.name, 'commit') : this.failure && this.#failedError(this.failure)
      return refusal === undefined
        ? commitTransaction(this, transaction, this.hasWritten)
        : rollBackTransaction(this, transaction).then(() => { throw refusal })
    })
    if (committed) await this.events.afterCommit()
    return committed
  }

  /** Rolls back what has begun, if anything has, as soon as the statement that is running has ended. Never rejects. */
  async rollback ({ last }: { last: boolean }): Promise<void> {
    if (last) this.closed = 'rollback'
    if (this.begun !== undefined) await this.events.beforeRollback()
    await this.streams.cutThoseInTransaction()
    const rolledBack = await this.#end(transaction => rollBackTransaction(this, transaction))
    if (rolledBack) await this.events.afterRollback()
  }

  /** `sql` is the statement that it is begun for, if it is for one. */
  protected ensureBegun (settings: TransactionSettings = {}, withStatement = false, sql?: string): Promise<PinnedTransaction> {
    const { isolationLevel, readOnly } = this.options
    const beginning = this.#beginning ??= this.#open({ isolationLevel, readOnly, ...settings }, withStatement, sql, callersLine()).catch(error => {
      if (this.#beginning === beginning) this.#beginning = undefined // and not that of a statement which has begun anew meanwhile
      throw error
    })
    return beginning
  }

  /** Runs a statement in `transaction`, or what else is done there, in the turn that the caller has, and leaves it. */
  protected async runInTurn<T> (
    sql: string, part: Savepoint, transaction: PinnedTransaction | undefined, use: Use<T>, signal?: AbortSignal, isMending?: boolean
  ): Promise<T> {
    try {
      if (transaction?.beginError !== undefined) throw transaction.beginError // whose statement came before
      if (this.closed === 'rollback' || transaction === undefined || this.begun !== transaction) throw this.endedError(sql)
      if (this.failure !== undefined && isMending !== true) throw this.#failedError(this.failure)
      signal?.throwIfAborted()
      if (part.isTakenBack) throw this.endedError(sql, part)
      this.owner.noteStatement(sql, this.driver.dialect, transaction)
      this.savepoints.note(sql, part)
      try {
        const run: Use<T> = this.driver.mayEndTransaction(sql) ? () => runGuarded(transaction, use) : use
        return await this.statements.runIn(transaction, run)
      } catch (error) {
        if (transaction.beginError === undefined) this.noteFailure(shorten(sql), error)
        else await this.#abandon(transaction)
        throw error
      }
    } finally {
      this.mutex.unlock()
    }
  }

  protected noteFailure (what: string, error: unknown): void {
    this.failure ??= { what, error, isFinal: endsTransaction(error) }
  }

  protected endedError (sql: string, part?: Savepoint): Error {
    const { name, outcome = 'it is being settled' } = this.owner
    return withCallersLine(() => part?.isTakenBack === true
      ? new FST_ORM_CONTEXT_ENDED(`an em.transactional() of ${name}`, 'rolledBack', shorten(sql))
      : new FST_ORM_CONTEXT_ENDED(name, outcome, shorten(sql)))
  }

  async #open (settings: TransactionSettings, withStatement: boolean, sql: string | undefined, line: string | undefined): Promise<PinnedTransaction> {
    await this.events.beforeStart()
    this.number = ++transactions
    const observed = observe(this, 'begin', 'begin', line)
    const transaction = await beginTransaction(this, settings, { withStatement, observed }).catch(error => {
      observed?.end(error)
      throw error
    })
    observed?.stop()
    this.begun = transaction // subscribers to the start may have statements of their own
    this.statistics.begin()
    transaction.whenBegun(() => {
      observed?.end()
      this.owner.onBegun({ database: this.em.name, transaction: this.number, sql, line })
    })
    try {
      await this.events.afterStart()
    } catch (error) {
      this.begun = undefined
      await rollBackTransaction(this, transaction)
      this.#hasEnded(transaction)
      throw error
    }
    return transaction
  }

  assertWanted (): void {
    if (this.closed === 'rollback') throw this.endedError('begin')
  }

  /** The first statement has failed before there was a transaction: the next one begins anew. */
  async #abandon (transaction: PinnedTransaction): Promise<void> {
    await transaction.abandon()
    this.#hasEnded(transaction)
  }

  /** Ends what has begun in its turn, after every statement that was accepted before. */
  async #end (end: (transaction: PinnedTransaction) => Promise<void>): Promise<boolean> {
    await this.#beginning?.catch(() => {}) // even if it has begun: callers that have waited for the begin go first
    const turn = this.mutex.lock()
    if (turn !== undefined) await turn
    const transaction = this.begun
    try {
      if (transaction === undefined) return false
      await end(transaction)
      return true
    } catch (error) {
      this.isInDoubt = transaction!.isInDoubt
      throw error
    } finally {
      if (transaction !== undefined) this.#hasEnded(transaction)
      this.mutex.unlock()
    }
  }

  #hasEnded ({ replica }: PinnedTransaction): void {
    this.begun = this.#beginning = this.failure = undefined
    this.hasWritten = false
    this.savepoints.clear()
    this.statistics.end()
    if (replica === undefined) this.driver.gate.release()
  }

  #failedError ({ what, error }: Failure): Error {
    return withCallersLine(() => new FST_ORM_TRANSACTION_FAILED(this.owner.name, what, { cause: error }))
  }
}

/** How many have begun in this process. */
let transactions = 0

import type { EntityManager, MikroORM } from '@mikro-orm/core'
import type { AbstractSqlConnection, SqlEntityManager } from '@mikro-orm/sql'
import { acquireForTransaction, holdersAround } from './connection-wait.ts'
import type { Context } from './context.ts'
import { DeferredKysely } from './deferred-kysely.ts'
import { DeferredTransaction } from './deferred-transaction.ts'
import { forkEntityManager, resetTransactionContext } from './entity-manager.ts'
import { addCallersLine } from './errors.ts'
import { FlushQueue } from './flush-queue.ts'
import type { TransactionOptions } from './options.ts'
import type { OrmSource } from './orm-source.ts'
import { hooksOfOwnTransaction, runWithInnerHooks, runWithOwnHooks } from './own-transaction.ts'
import { hasFlushSubscribers, hasPendingChanges, needsFlush } from './pending-changes.ts'
import type { TransactionSettings } from './pinned-transaction.ts'
import { PoolGate } from './pool-gate.ts'
import { Savepoint } from './savepoint.ts'
import type { Statistics } from './statistics.ts'

/**
 * One database within a context: a forked EntityManager and its deferred transaction. (MikroORM's class of the same
 * name, which `em.getUnitOfWork()` returns, is what the EntityManager knows of its entities.)
 */
export class UnitOfWork {
  readonly source: OrmSource
  readonly em: SqlEntityManager
  readonly owner: Context
  readonly flushes: FlushQueue = new FlushQueue()
  readonly #orm: MikroORM
  readonly #transaction: DeferredTransaction
  readonly #kysely: DeferredKysely
  readonly #isTransactional: boolean
  readonly #schema: string | undefined
  #isTailored: boolean
  /** Transactions beside that of the context, each on a connection of its own. */
  #beside = 0
  #rolledBack: Promise<void> | undefined
  #flushes = 0
  #hasFlushed = false

  /** `around` is the EntityManager of the context around, if that has one for the same database. */
  constructor (source: OrmSource, owner: Context, options: TransactionOptions, around?: EntityManager) {
    this.source = source
    this.owner = owner
    this.#orm = source.enter()
    this.#isTailored = around !== undefined
    this.em = forkEntityManager(around?.config === this.#orm.config ? around : this.#orm.em, this)
    this.#schema = this.em.schema
    this.#transaction = new DeferredTransaction(this.em, owner, options)
    const connection = this.em.getConnection('write') as AbstractSqlConnection
    this.#kysely = new DeferredKysely(this.#transaction, connection.getClient(), new Savepoint())
    this.#isTransactional = options.transaction !== false
    this.attach()
  }

  get name (): string {
    return this.em.name
  }

  /** Its EntityManager has filters, a schema or a session context of its own, which branches take over. */
  get isTailored (): boolean {
    return this.#isTailored || this.em.schema !== this.#schema
  }

  tailor (): void {
    this.#isTailored = true
  }

  get hasBegun (): boolean {
    return this.#transaction.hasBegun
  }

  /** Is waiting for the connection of its transaction. */
  get isBeginning (): boolean {
    return this.#transaction.isBeginning
  }

  /** A statement of its transaction is running. */
  get isBusy (): boolean {
    return this.#transaction.isBusy
  }

  /** Its last commit may have been committed, or not: the connection died. */
  get isInDoubt (): boolean {
    return this.#transaction.isInDoubt
  }

  get hasSavepointBeside (): boolean {
    return this.#transaction.hasSavepointBeside
  }

  get hasOpenSavepoint (): boolean {
    return this.#transaction.hasOpenSavepoint
  }

  /** Entities and collections that a flush would write. */
  get hasPendingChanges (): boolean {
    return hasPendingChanges(this.em.getContext(false))
  }

  /** The `em.transactional()` that the caller runs in, if it runs in one. */
  get savepoint (): Savepoint | undefined {
    return this.#savepointOf(this.em.getContext(false))
  }

  /** Runs the callback of an `em.transactional()`, which gets `inner`. */
  runInside<T> (inner: EntityManager, callback: () => T): T {
    const savepoint = this.#savepointOf(inner)
    return savepoint === undefined ? callback() : savepoint.run(callback)
  }

  connectionsOf (pool: AbstractSqlConnection): number {
    return this.em.getConnection('write') === pool ? this.#transaction.connections + this.#beside : 0
  }

  /** Reads that are running outside the transaction. */
  get reads (): Promise<unknown> | undefined {
    return this.#transaction.reads
  }

  get isCurrent (): boolean {
    return this.owner.isCurrent
  }

  /** The EntityManager's transaction is the context's, and not a savepoint's or none. */
  get isAttached (): boolean {
    return this.keepsTransactionContext && this.em.getTransactionContext() === this.#kysely
  }

  /** With `transaction: false`, MikroORM sets and resets transactions of its own until the context has ended. */
  get keepsTransactionContext (): boolean {
    return this.#isTransactional || this.#transaction.isClosed
  }

  attach (): void {
    if (this.keepsTransactionContext) this.owner.runOutermost(() => this.em.setTransactionContext(this.#kysely))
  }

  detach (): void {
    this.owner.runOutermost(() => resetTransactionContext(this.em))
  }

  async begin (settings?: TransactionSettings): Promise<void> {
    await this.#transaction.begin(settings)
  }

  /** A flush may have something to do, or to wait for. */
  get needsFlush (): boolean {
    return !this.flushes.isIdle || this.em.getContext(false) !== this.em || needsFlush(this.em)
  }

  /** Subscribers to flushes have not heard of any: they get their chance to write before a commit, and once. */
  get owesFlush (): boolean {
    return !this.#hasFlushed && hasFlushSubscribers(this.em)
  }

  /** A flush tells subscribers of it, be it that of an `em.transactional()`. */
  noteFlush (): void {
    this.#hasFlushed = true
  }

  /**
   * Flushes what there is to write when the flushes before have ended; of an `em.transactional()` that is still open where
   * the context is settled, the inner changes first.
   */
  async flush (): Promise<void> {
    const inner = this.em.getContext(false)
    if (inner !== this.em && needsFlush(inner)) await inner.flush()
    if (!this.flushes.isIdle) await this.flushes.run(async () => {})
    if (needsFlush(this.em)) await this.flushNow()
  }

  /** The same, also of nothing. */
  async flushNow (): Promise<void> {
    await this.owner.runOutermost(() => this.em.flush())
  }

  /**
   * Runs a transaction beside that of the context, as MikroORM does it. Rejects where that would have to wait for the
   * context's own connection.
   */
  async runBeside<T> (transactional: (wrap: <R>(callback: () => Promise<R>) => Promise<R>) => Promise<T>): Promise<T> {
    const pool: AbstractSqlConnection = this.em.getConnection('write')
    const holders = [...Array<Context>(this.connectionsOf(pool)).fill(this.owner), ...holdersAround(this.owner, pool)]
    return await runWithOwnHooks(this.owner, async withHooks => {
      const result = await acquireForTransaction(this.owner, holders, this.em, arrived => transactional(async callback => {
        arrived()
        this.#beside++
        try {
          return await withHooks(callback)
        } finally {
          this.#beside--
        }
      }))
      PoolGate.of(this.em).leave()
      return result
    }, this.#reportHook)
  }

  /** Runs an `em.transactional()` inside the transaction that the caller is in. */
  async runNested<T> (transactional: () => Promise<T>): Promise<T> {
    const outer = hooksOfOwnTransaction(this.owner)
    return await (outer === undefined ? transactional() : runWithInnerHooks(this.owner, outer, transactional, this.#reportHook))
  }

  /** Has only read, and a commit would find nothing to do. */
  get isIdle (): boolean {
    return !this.hasBegun && !this.hasOpenSavepoint && !this.needsFlush && !this.owesFlush
  }

  /** The last commit of one that is idle. */
  closeIdle (): void {
    this.#transaction.closeIdle()
    if (!this.#isTransactional) this.attach()
  }

  /** Refuses writes, and perhaps `reads`, from the start: for whoever asks a context that has ended. */
  close (options: { reads: boolean }): void {
    this.#transaction.close(options)
    this.attach()
  }

  /** Half of what a flush has to write may be written when it fails, and must not be committed. */
  async failWith (flush: () => Promise<void>): Promise<void> {
    const { statements } = this.#transaction
    try {
      await flush()
    } catch (error) {
      if (this.#transaction.statements !== statements) this.#transaction.fail(error)
      addCallersLine(error)
      throw error
    } finally {
      if (this.#transaction.statements !== statements) this.#flushes++
    }
  }

  /** How many statements have come so far. */
  get statements (): number {
    return this.#transaction.statements
  }

  /** Milliseconds for which its transactions have held a connection. */
  get held (): number {
    return this.#transaction.held
  }

  /** For events: see there. */
  get statistics (): Statistics & { flushes: number } {
    return { ...this.#transaction.statistics, flushes: this.#flushes }
  }

  /** Gives back what streams still hold, and then the database. Resolves when that is done; `undefined` if it is already. */
  release (): Promise<void> | undefined {
    const released = this.#transaction.release()
    if (released !== undefined || this.#rolledBack !== undefined) return this.#leave(released)
    this.source.leave(this.#orm)
  }

  /**
   * Commits what was flushed; if that is the `last` time, it refuses every later write. Resolves with whether there was
   * anything to commit.
   */
  commit ({ last }: { last: boolean }): Promise<boolean> {
    const committed = this.#transaction.commit({ last })
    if (last) this.attach()
    return committed
  }

  /** Rolls back; if that is the `last` time, it refuses every later write. Never rejects. */
  async rollback ({ last }: { last: boolean }): Promise<void> {
    this.#rolledBack = this.#transaction.rollback({ last })
    if (last) this.attach()
    await this.#rolledBack
  }

  /** Cancels the statements that are running, where the database can. Resolves when they are done. */
  async cancel (): Promise<void> {
    this.#transaction.cancel()
    await this.#transaction.running
  }

  async #leave (released: Promise<void> | undefined): Promise<void> {
    await released
    await this.#rolledBack
    this.source.leave(this.#orm)
  }

  #savepointOf (em: EntityManager): Savepoint | undefined {
    const kysely = em.getTransactionContext() as unknown
    return kysely instanceof DeferredKysely && kysely !== this.#kysely ? kysely.part : undefined
  }

  readonly #reportHook = (error: unknown): void => {
    this.owner.report(error, `${this.owner.name}: a hook of an em.transactional() has failed`)
  }
}

import type { EntityManager, MikroORM } from '@mikro-orm/core'
import type { SqlEntityManager } from '@mikro-orm/sql'
import { acquireForTransaction, holdersAround, type ConnectionUser } from '../drivers/connection-wait.ts'
import type { Driver } from '../drivers/driver.ts'
import { driverOf } from '../drivers/driver-of.ts'
import { deferredKysely, deferredKyselyIn, type DeferredKysely } from '../transaction/deferred-kysely.ts'
import { DeferredTransaction } from '../transaction/deferred-transaction.ts'
import { makeCancellable } from '../mikro-orm/abort-settings.ts'
import type { EntityManagerScope, Independent } from '../mikro-orm/entity-manager-scope.ts'
import { forkEntityManager, resetTransactionContext } from '../mikro-orm/entity-manager.ts'
import { Flushes } from '../mikro-orm/flushes.ts'
import type { TransactionOptions } from '../options/options.ts'
import type { OrmSource } from '../options/orm-source.ts'
import { runIndependently } from '../transaction/independent-transaction.ts'
import { hooksOfIndependentTransaction, runWithInnerHooks, runWithOwnHooks } from './independent-hooks.ts'
import { hasFlushSubscribers, hasPendingChanges, needsFlush } from '../mikro-orm/pending-changes.ts'
import type { TransactionSettings } from '../drivers/pinned-transaction.ts'
import { Savepoint } from '../transaction/savepoint.ts'
import type { Statistics } from '../transaction/statistics.ts'
import { ownerOfIndependent, type TransactionOwner } from '../transaction/transaction-owner.ts'
import type { SandboxOfContexts } from './sandboxes.ts'

/** The context that a scope belongs to. */
export interface ScopeOwner extends TransactionOwner {
  readonly sandbox: SandboxOfContexts | undefined
  readonly isCurrent: boolean
  /** Runs `callback` in the context itself, also from within an `em.transactional()` or from outside. */
  runOutermost<T> (callback: () => T): T
  commitNow (what: string, scope: DatabaseScope): Promise<void>
  rollbackNow (what: string, scope: DatabaseScope): Promise<void>
}

/** One database within a context: a forked EntityManager and its deferred transaction. */
export class DatabaseScope implements EntityManagerScope {
  readonly source: OrmSource
  readonly em: SqlEntityManager
  readonly owner: ScopeOwner
  readonly flushing: Flushes = new Flushes()
  /** Those that had something to write. */
  flushes = 0
  readonly #orm: MikroORM
  readonly #transaction: DeferredTransaction
  readonly #kysely: DeferredKysely
  readonly #isTransactional: boolean
  /** Cancels the statements that MikroORM runs by itself, where it does. */
  readonly #cancelOthers: (() => void) | undefined
  readonly #schema: string | undefined
  #hasOwnSettings: boolean
  /** Independent transactions, each on a connection of its own. */
  #independent: Set<DeferredTransaction> | undefined
  #rolledBack: Promise<void> | undefined
  #hasFlushed = false

  /** `parent` is the EntityManager of the parent context, if that has settings of its own for the same database. */
  constructor (source: OrmSource, owner: ScopeOwner, options: TransactionOptions, parent?: EntityManager) {
    this.source = source
    this.owner = owner
    this.#orm = source.retain()
    this.#hasOwnSettings = parent !== undefined
    this.em = forkEntityManager(parent?.config === this.#orm.config ? parent : this.#orm.em, this)
    this.#schema = this.em.schema
    this.#transaction = new DeferredTransaction(this.em, owner, options)
    this.#kysely = deferredKysely(this.#transaction, this.em.getConnection('write').getClient(), new Savepoint())
    this.#transaction.view = this.#kysely
    this.#isTransactional = options.transaction !== false
    if (!this.#isTransactional && driverOf(this.em).isPool) this.#cancelOthers = makeCancellable(this.em)
    this.attach()
  }

  get contextName (): string {
    return this.owner.name
  }

  fork (em: EntityManager): EntityManager {
    const { sandbox, name } = this.owner
    return sandbox === undefined ? em.fork({ disableContextResolution: true }) : sandbox.fork(em, name)
  }

  async commitNow (what: string): Promise<void> {
    await this.owner.commitNow(what, this)
  }

  async rollbackNow (what: string): Promise<void> {
    await this.owner.rollbackNow(what, this)
  }

  get name (): string {
    return this.em.name
  }

  /** Its EntityManager has filters, a schema or a session context of its own, which branches take over. */
  get hasOwnSettings (): boolean {
    return this.#hasOwnSettings || this.em.schema !== this.#schema
  }

  noteOwnSettings (): void {
    this.#hasOwnSettings = true
  }

  get hasTransaction (): boolean {
    return this.#transaction.isOpen
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

  connectionsOf (driver: Driver): number {
    if (driverOf(this.em) !== driver) return 0
    let count = this.#transaction.connections
    for (const { connection } of this.#independent ?? []) if (connection !== undefined) count++
    return count
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
    return !this.flushing.isIdle || this.em.getContext(false) !== this.em || needsFlush(this.em)
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
    if (!this.flushing.isIdle) await this.flushing.done
    if (needsFlush(this.em)) await this.flushNow()
  }

  /** The same, also of nothing. */
  async flushNow (): Promise<void> {
    await this.owner.runOutermost(() => this.em.flush())
  }

  /**
   * Runs an `em.transactional()` that is independent of the transaction of the context: one that `begins` another, or has none. Rejects where
   * that would have to wait for the context's own connection.
   */
  async runIndependently<T> (em: EntityManager, begins: boolean, transactional: Independent<T>): Promise<T> {
    return await runWithOwnHooks(this.owner, withHooks => (
      begins
        ? runIndependently(em, ownerOfIndependent(this.owner), this.#noteIndependent, () => transactional(withHooks))
        : this.#runWithoutTransaction(callback => transactional(run => callback(() => withHooks(run))))
    ), this.#reportHook)
  }

  /** MikroORM's own: each statement on whatever connection the pool has free. */
  async #runWithoutTransaction<T> (run: Independent<T>): Promise<T> {
    const driver = driverOf(this.em)
    const holders = [...Array<ConnectionUser>(this.connectionsOf(driver)).fill(this.owner), ...holdersAround(this.owner, driver)]
    const result = await acquireForTransaction(this.owner, holders, driver, arrived => run(async callback => {
      arrived()
      return await callback()
    }))
    driver.gate.release()
    return result
  }

  /** Runs an `em.transactional()` inside the transaction that the caller is in. */
  async runNested<T> (transactional: () => Promise<T>): Promise<T> {
    const outer = hooksOfIndependentTransaction(this.owner)
    return await (outer === undefined ? transactional() : runWithInnerHooks(this.owner, outer, transactional, this.#reportHook))
  }

  /** Has only read, and a commit would find nothing to do. */
  get isIdle (): boolean {
    return !this.hasTransaction && !this.hasOpenSavepoint && !this.needsFlush && !this.owesFlush
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

  /** Runs MikroORM's own flush of its EntityManager. */
  runFlush (flush: () => Promise<void>): Promise<void> {
    return this.flushing.run(() => this.#kysely.failWith(flush))
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
    return { ...this.#transaction.statistics, flushes: this.flushes }
  }

  /** Gives back what streams still hold, and then the database. Resolves when that is done; `undefined` if it is already. */
  release (): Promise<void> | undefined {
    const released = this.#transaction.release()
    if (released !== undefined || this.#rolledBack !== undefined) return this.#leave(released)
    this.source.release(this.#orm)
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
    const transactions = [this.#transaction, ...this.#independent ?? []]
    for (const transaction of transactions) transaction.cancel()
    this.#cancelOthers?.()
    await Promise.all(transactions.map(({ running }) => running))
  }

  async #leave (released: Promise<void> | undefined): Promise<void> {
    await released
    await this.#rolledBack
    this.source.release(this.#orm)
  }

  #savepointOf (em: EntityManager): Savepoint | undefined {
    const view = deferredKyselyIn(em)
    return view !== undefined && view !== this.#kysely && view.isOf(this.#transaction) ? view.part : undefined
  }

  readonly #noteIndependent = (transaction: DeferredTransaction): () => void => {
    const independent = this.#independent ??= new Set()
    independent.add(transaction)
    return () => independent.delete(transaction)
  }

  readonly #reportHook = (error: unknown): void => {
    this.owner.report(error, `${this.owner.name}: a hook of an em.transactional() has failed`)
  }
}

import type { EntityManager, MikroORM } from '@mikro-orm/core'
import type { AbstractSqlDriver, SqlEntityManager } from '@mikro-orm/sql'
import type { Driver } from '../drivers/driver.ts'
import { makeCancellable } from '../mikro-orm/abort-settings.ts'
import type { EntityManagerScope } from '../mikro-orm/entity-manager-scope.ts'
import { forkEntityManager, resetTransactionContext } from '../mikro-orm/entity-manager.ts'
import { Flushes } from '../mikro-orm/flushes.ts'
import { freshDriver } from '../mikro-orm/fresh-driver.ts'
import { forkWith } from '../mikro-orm/internals.ts'
import { hasFlushSubscribers, hasPendingChanges, needsFlush } from '../mikro-orm/pending-changes.ts'
import type { TransactionOptions } from '../options/options.ts'
import type { OrmSource } from '../options/orm-source.ts'
import { deferredKysely, deferredKyselyIn, type DeferredKysely } from '../transaction/deferred-kysely.ts'
import { DeferredTransaction } from '../transaction/deferred-transaction.ts'
import { Savepoint } from '../transaction/savepoint.ts'
import type { TransactionOwner } from '../transaction/transaction-owner.ts'
import { IndependentTransactions } from './independent-transactions.ts'
import type { SandboxOfContexts, UserOfSandbox } from './sandboxes.ts'

/** The context that a scope belongs to. */
export interface ScopeOwner extends TransactionOwner, UserOfSandbox {
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
  readonly transaction: DeferredTransaction
  readonly flushes: Flushes = new Flushes()
  /** How many flushes had something to write. */
  flushCount = 0
  readonly #orm: MikroORM
  readonly #kysely: DeferredKysely
  readonly #isTransactional: boolean
  /** Cancels the statements that MikroORM runs by itself, where it does. */
  readonly #cancelOthers: (() => void) | undefined
  readonly #schema: string | undefined
  #hasOwnSettings: boolean
  #independent: IndependentTransactions | undefined
  #rolledBack: Promise<void> | undefined
  #hasFlushed = false
  #isMade = false

  /** `parent` is the EntityManager of the parent context, if that has settings of its own for the same database. */
  constructor (source: OrmSource, owner: ScopeOwner, options: TransactionOptions, parent?: EntityManager) {
    this.source = source
    this.owner = owner
    this.#orm = source.retain()
    this.#isTransactional = options.transaction !== false
    this.#hasOwnSettings = parent !== undefined
    this.em = forkEntityManager(parent?.config === this.#orm.config ? parent : this.#orm.em, this)
    this.#schema = this.em.schema
    this.transaction = new DeferredTransaction(this.em, owner, options)
    this.#kysely = deferredKysely(this.transaction, this.em.getConnection('write').getClient(), new Savepoint())
    this.transaction.view = this.#kysely
    if (!this.#isTransactional) this.#cancelOthers = makeCancellable(this.em, this.transaction.driver.isPool ? 'cancel query' : 'ignore query')
    this.attach()
    this.#isMade = true
  }

  get contextName (): string {
    return this.owner.name
  }

  fork (em: EntityManager): EntityManager {
    const { sandbox } = this.owner
    if (sandbox !== undefined) return sandbox.fork(em, this.owner)
    if (this.#isTransactional) return em.fork({ disableContextResolution: true })
    // until the context has ended, for what MikroORM runs by itself
    const following = (): DeferredTransaction | undefined => this.#isMade && this.transaction.closed === undefined ? this.transaction : undefined
    return forkWith(freshDriver(em.getDriver() as AbstractSqlDriver, following), em)
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

  /** A transaction has a connection: the context's, or one beside it. */
  get holdsTransaction (): boolean {
    return this.transaction.connection !== undefined || (this.#independent?.connections ?? 0) > 0
  }

  connectionsOf (driver: Driver): number {
    if (this.transaction.driver !== driver) return 0
    return this.transaction.connections + (this.#independent?.connections ?? 0)
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
    return this.#isTransactional || this.transaction.closed !== undefined
  }

  attach (): void {
    if (this.keepsTransactionContext) this.owner.runOutermost(() => this.em.setTransactionContext(this.#kysely))
  }

  detach (): void {
    this.owner.runOutermost(() => resetTransactionContext(this.em))
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
    if (!this.flushes.isIdle) await this.flushes.done
    if (needsFlush(this.em)) await this.flushNow()
  }

  /** Flushes even if nothing is pending, so that subscribers run. */
  async flushNow (): Promise<void> {
    await this.owner.runOutermost(() => this.em.flush())
  }

  /** Those `em.transactional()` that have a transaction of their own, or none, and what is nested in them. */
  get independent (): IndependentTransactions {
    this.#independent ??= new IndependentTransactions(this)
    return this.#independent
  }

  /** Has only read, and a commit would find nothing to do. */
  get isIdle (): boolean {
    return !this.transaction.isOpen && this.transaction.savepoints.isEmpty && !this.needsFlush && !this.owesFlush
  }

  /** Refuses writes from now on. There is nothing to commit. */
  closeIdle (): void {
    this.transaction.closeIdle()
    if (!this.#isTransactional) this.attach()
  }

  /** Refuses writes, and perhaps `reads`, from the start: for whoever asks a context that has ended. */
  refuseWrites (options: { reads: boolean }): void {
    this.transaction.refuseWrites(options)
    this.attach()
  }

  /** Runs MikroORM's own flush of its EntityManager. */
  runFlush (flush: () => Promise<void>): Promise<void> {
    const { flushCount } = this
    const flushed = this.flushes.run(() => this.#kysely.runFlush(flush))
    return this.#isTransactional ? flushed : flushed.then(() => { if (this.flushCount !== flushCount) this.owner.noteCommit() })
  }

  /** Gives back what streams still hold, and then the database. Resolves when that is done; `undefined` if it is already. */
  release (): Promise<void> | undefined {
    const released = this.transaction.release()
    if (released !== undefined || this.#rolledBack !== undefined) return this.#leave(released)
    this.source.release(this.#orm)
  }

  /** Commits what was flushed; the `last` time, it refuses every later write. Resolves with whether there was anything to commit. */
  commit ({ last }: { last: boolean }): Promise<boolean> {
    const committed = this.transaction.commit({ last })
    if (last) this.attach()
    return committed
  }

  /** Rolls back; if that is the `last` time, it refuses every later write. Never rejects. */
  async rollback ({ last }: { last: boolean }): Promise<void> {
    this.#rolledBack = this.transaction.rollback({ last })
    if (last) this.attach()
    await this.#rolledBack
  }

  /** Cancels the statements that are running, where the database can. Resolves when they are done. */
  async cancel (): Promise<void> {
    this.transaction.cancel()
    this.#cancelOthers?.()
    await Promise.all([this.transaction.running, this.#independent?.cancel()])
  }

  async #leave (released: Promise<void> | undefined): Promise<void> {
    await released
    await this.#rolledBack
    this.source.release(this.#orm)
  }

  #savepointOf (em: EntityManager): Savepoint | undefined {
    const view = deferredKyselyIn(em)
    return view !== undefined && view !== this.#kysely && view.isOf(this.transaction) ? view.part : undefined
  }
}

import type { MikroORM } from '@mikro-orm/core'
import type { AbstractSqlConnection, SqlEntityManager } from '@mikro-orm/sql'
import type { Context } from './context.ts'
import { DeferredKysely } from './deferred-kysely.ts'
import { DeferredTransaction } from './deferred-transaction.ts'
import { forkEntityManager, resetTransactionContext } from './entity-manager.ts'
import { FlushQueue } from './flush-queue.ts'
import type { TransactionOptions } from './options.ts'
import type { TransactionSettings } from './pinned-transaction.ts'

/**
 * One database within a context: a forked EntityManager and its deferred transaction. (MikroORM's class of the same
 * name, which `em.getUnitOfWork()` returns, is what the EntityManager knows of its entities.)
 */
export class UnitOfWork {
  readonly orm: MikroORM
  readonly em: SqlEntityManager
  readonly owner: Context
  readonly flushes: FlushQueue = new FlushQueue()
  readonly #transaction: DeferredTransaction
  readonly #kysely: DeferredKysely
  readonly #isTransactional: boolean

  constructor (orm: MikroORM, owner: Context, options: TransactionOptions) {
    this.orm = orm
    this.owner = owner
    this.em = forkEntityManager(orm, this)
    this.#transaction = new DeferredTransaction(this.em, owner, options)
    const connection = this.em.getConnection('write') as AbstractSqlConnection
    this.#kysely = new DeferredKysely(this.#transaction, connection.getClient())
    this.#isTransactional = options.transaction !== false
    this.attach()
  }

  get name (): string {
    return this.em.name
  }

  get hasBegun (): boolean {
    return this.#transaction.hasBegun
  }

  /** A rollback would have to wait. */
  get isBusy (): boolean {
    return this.#transaction.isBusy
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

  /** Flushes; of an `em.transactional()` that is still open where the context is settled, the inner changes first. */
  async flush (): Promise<void> {
    const inner = this.em.getContext(false)
    if (inner !== this.em) await inner.flush()
    await this.owner.runOutermost(() => this.em.flush())
  }

  async commitNow (): Promise<void> {
    await this.flush()
    await this.#transaction.commit({ last: false })
  }

  async rollbackNow (): Promise<void> {
    await this.#transaction.rollback({ last: false })
    this.em.clear()
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
      throw error
    }
  }

  /** Gives back what streams still hold. */
  async release (): Promise<void> {
    await this.#transaction.release()
  }

  /** Commits what was flushed, and refuses every later write. Resolves with whether there was anything to commit. */
  async commit (): Promise<boolean> {
    try {
      return await this.#transaction.commit({ last: true })
    } finally {
      this.attach()
    }
  }

  /** Rolls back and refuses every later write. Never rejects. */
  async rollback (): Promise<void> {
    const rolledBack = this.#transaction.rollback({ last: true })
    this.attach()
    await rolledBack
  }
}

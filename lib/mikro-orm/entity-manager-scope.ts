import type { EntityManager } from '@mikro-orm/core'
import type { TransactionSettings } from '../drivers/pinned-transaction.ts'
import type { Flushes } from './flushes.ts'
import type { FlushCounter } from './late-changes.ts'

/** What the EntityManager of a context asks of its scope, the database within that context. */
export interface EntityManagerScope extends FlushCounter {
  readonly em: EntityManager
  /** For error messages, such as `POST /books`. */
  readonly contextName: string
  /** The context is the caller's. */
  readonly isCurrent: boolean
  readonly transaction: {
    /** Has begun, or is about to. */
    readonly isOpen: boolean
    begin (settings?: TransactionSettings): Promise<void>
  }
  readonly independent: IndependentRunner
  readonly flushes: Flushes
  /** The EntityManager's transaction is the context's, and not a savepoint's or none. */
  readonly isAttached: boolean
  readonly keepsTransactionContext: boolean
  attach (): void
  detach (): void
  fork (em: EntityManager): EntityManager
  commitNow (what: string): Promise<void>
  rollbackNow (what: string): Promise<void>
  flush (): Promise<void>
  /** Runs MikroORM's own flush. */
  runFlush (flush: () => Promise<void>): Promise<void>
  noteFlush (): void
  /** The EntityManager has filters, a schema or a session context of its own from now on. */
  noteOwnSettings (): void
  /** Runs the callback of an `em.transactional()`, which gets `inner`. */
  runInside<T> (inner: EntityManager, callback: () => T): T
}

interface IndependentRunner {
  /** Runs an `em.transactional()` inside the transaction that the caller is in. */
  runNested<T> (transactional: () => Promise<T>): Promise<T>
  /** Runs one that is independent of the context's transaction, and `begins` one of its own or has none. */
  run<T> (em: EntityManager, begins: boolean, transactional: Independent<T>): Promise<T>
}

/** Runs an `em.transactional()`, whose callback gets hooks of its own by `withHooks`. */
export type Independent<T> = (withHooks: <R>(callback: () => Promise<R>) => Promise<R>) => Promise<T>

import { TransactionContext, TransactionPropagation, type EntityManager, type InflightQueryAbortStrategy, type MikroORM } from '@mikro-orm/core'
import type { SqlEntityManager } from '@mikro-orm/sql'
import { deferredKyselyIn } from '../transaction/deferred-kysely.ts'
import { addCallersLine, FST_ORM_TRANSACTION_OPEN } from '../errors.ts'
import type { TransactionSettings } from '../drivers/pinned-transaction.ts'
import { Flushes } from './flushes.ts'
import { keepLateChanges, type FlushCounter } from './late-changes.ts'
import { needsFlush } from './pending-changes.ts'

/**
 * The EntityManager of a context: a fork of the global one in which the methods differ that would otherwise replace,
 * suspend or overlook the context's transaction. All but `getContext` are public methods of MikroORM 7.2.1.
 */

type Begin = Parameters<EntityManager['begin']>
type Transactional = Parameters<EntityManager['transactional']>

/** What the EntityManager of a context asks of its scope, the database within that context. */
export interface EntityManagerScope extends FlushCounter {
  readonly em: EntityManager
  /** For error messages, such as `POST /books`. */
  readonly contextName: string
  /** The context is the caller's. */
  readonly isCurrent: boolean
  /** Has begun its transaction, or is about to. */
  readonly hasTransaction: boolean
  /** The EntityManager's transaction is the context's, and not a savepoint's or none. */
  readonly isAttached: boolean
  readonly keepsTransactionContext: boolean
  attach (): void
  detach (): void
  fork (em: EntityManager): EntityManager
  begin (settings?: TransactionSettings): Promise<void>
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
  /** Runs an `em.transactional()` inside the transaction that the caller is in. */
  runNested<T> (transactional: () => Promise<T>): Promise<T>
  /** Runs one that is independent of the context's transaction, and `begins` one of its own or has none. */
  runIndependently<T> (em: EntityManager, begins: boolean, transactional: Independent<T>): Promise<T>
}

/** Runs an `em.transactional()`, whose callback gets hooks of its own by `withHooks`. */
export type Independent<T> = (withHooks: <R>(callback: () => Promise<R>) => Promise<R>) => Promise<T>

const SCOPE = Symbol('fastify-context-orm.scope')
/** Of the EntityManagers that `em.transactional()` makes: the scope that they are in. */
const PARENT = Symbol('fastify-context-orm.parent')
const FLUSHES = Symbol('fastify-context-orm.flushes')

interface ContextEntityManager extends SqlEntityManager {
  [SCOPE]: EntityManagerScope
}

interface InnerEntityManager extends EntityManager {
  [PARENT]: EntityManagerScope
  [FLUSHES]: Flushes
}

/** Propagations that leave the context's transaction alone. */
const ON_ITS_OWN: string[] = [TransactionPropagation.REQUIRES_NEW, TransactionPropagation.NOT_SUPPORTED]

/** MikroORM 7.2.1 passes its errors on in a way that V8 cannot follow. */
async function execute (this: SqlEntityManager, ...args: Parameters<SqlEntityManager['execute']>): Promise<unknown> {
  try {
    return await (inherited(this) as SqlEntityManager).execute.apply(this, args)
  } catch (error) {
    addCallersLine(error)
    throw error
  }
}

/** Those that begin a transaction where there is none. */
const BEGINS: string[] = [TransactionPropagation.REQUIRES_NEW, TransactionPropagation.REQUIRED, TransactionPropagation.NESTED]

/** Shared by all forks, so that a fork costs no closures. */
const methods = {
  /**
   * This very EntityManager, or the one of the `em.transactional()` that runs at the moment. Without this, an
   * EntityManager that was handed to another context would silently act as that context's own.
   */
  getContext (this: ContextEntityManager): EntityManager {
    const inner = TransactionContext.getEntityManager(this.name) // asked first: it is asked often, and there is rarely one
    return inner !== undefined && this[SCOPE].isCurrent ? inner : this
  },

  /**
   * `REQUIRES_NEW` and `NOT_SUPPORTED` call this to suspend the transaction while they run. They have a fork of their
   * own to run on; what runs in parallel with them must stay in the context's transaction.
   */
  resetTransactionContext (this: ContextEntityManager): void {
    if (!this[SCOPE].keepsTransactionContext) inherited(this).resetTransactionContext.call(this)
  },

  flush (this: ContextEntityManager): Promise<void> {
    const flush = (): Promise<void> => inherited(this).flush.call(this)
    const scope = this[SCOPE]
    scope.noteFlush()
    return this.getContext(false) === this ? scope.runFlush(flush) : flush()
  },

  /**
   * `REQUIRED`, which `@Transactional` uses, gets a savepoint here: MikroORM would take the deferred transaction for one
   * that the caller has begun, and half of what fails in it would stay.
   */
  async transactional (this: ContextEntityManager, ...[callback, options = {}]: Transactional): Promise<unknown> {
    const current = this.getContext(false)
    if (current !== this) return await current.transactional(callback, options)
    const scope = this[SCOPE]
    // inside a transaction that was begun by hand (`em.begin({ ctx })`, or with `transaction: false`), MikroORM nests
    if (!scope.isAttached && this.getTransactionContext() !== undefined) return await runTransactional(this, scope, callback, options)
    if (!scope.isAttached) return await runIndependently(this, scope, callback, options)

    const { NESTED, REQUIRED } = TransactionPropagation
    const propagation = options.propagation === REQUIRED ? NESTED : options.propagation ?? NESTED
    if (!ON_ITS_OWN.includes(propagation)) await beginWith(this, options)
    return await runTransactional(this, scope, callback, { ...options, propagation })
  },

  execute,

  async begin (this: ContextEntityManager, ...[options]: Begin): Promise<void> {
    if (!actsOnContext(this) || options?.ctx !== undefined) return await inherited(this).begin.call(this, options)
    if (!await beginWith(this, options)) await this[SCOPE].begin()
  },

  async commit (this: ContextEntityManager): Promise<void> {
    if (actsOnContext(this)) return await this[SCOPE].commitNow('em.commit()')
    await inherited(this).commit.call(this)
    this[SCOPE].attach()
  },

  async rollback (this: ContextEntityManager): Promise<void> {
    if (actsOnContext(this)) return await this[SCOPE].rollbackNow('em.rollback()')
    await inherited(this).rollback.call(this)
    this[SCOPE].attach()
  },

  addFilter (this: ContextEntityManager, ...args: Parameters<EntityManager['addFilter']>): void {
    this[SCOPE].noteOwnSettings()
    inherited(this).addFilter.apply(this, args)
  },

  setSessionContext (this: ContextEntityManager, ...args: Parameters<EntityManager['setSessionContext']>): void {
    this[SCOPE].noteOwnSettings()
    beforeTransaction(this, () => inherited(this).setSessionContext.apply(this, args))
  },

  clearSessionContext (this: ContextEntityManager): void {
    beforeTransaction(this, () => inherited(this).clearSessionContext.call(this))
  },

  setFilterParams (this: ContextEntityManager, ...args: Parameters<EntityManager['setFilterParams']>): void {
    this[SCOPE].noteOwnSettings()
    beforeTransaction(this, () => inherited(this).setFilterParams.apply(this, args))
  }
}

/** Those of an EntityManager inside `em.transactional()`, which is otherwise MikroORM's. */
const innerMethods = {
  execute,

  flush (this: InnerEntityManager): Promise<void> {
    const flush = (): Promise<void> => inherited(this).flush.call(this)
    const view = deferredKyselyIn(this)
    return this[FLUSHES].run(view === undefined ? flush : () => view.failWith(flush))
  },

  async transactional (this: InnerEntityManager, ...[callback, options = {}]: Transactional): Promise<unknown> {
    return await runTransactional(this, this[PARENT], callback, options)
  }
}

/** Of these, `orm.em` calls the context's own; whatever else it is asked, it asks the context's EntityManager itself. */
const DELEGATED = ['flush', 'transactional', 'begin', 'commit', 'rollback', 'setSessionContext', 'clearSessionContext', 'setFilterParams', 'addFilter'] as const

/** Of the global one, or of that of the context around, whose filters, schema and session context it takes over. */
export function forkEntityManager (em: EntityManager, scope: EntityManagerScope): SqlEntityManager {
  const ours = Object.assign(scope.fork(em), methods) as unknown as ContextEntityManager
  ours[SCOPE] = scope
  abortSettingsOf(ours).signal = undefined // that of the context around is none of its business
  keepLateChanges(ours, scope)
  return ours
}

/** Makes the global EntityManager call the methods of a context's, where it is one's. Returns what undoes it. */
export function delegateToContexts (orm: MikroORM): () => void {
  const em = orm.em as EntityManager & Record<string, unknown>
  for (const method of DELEGATED) {
    Object.defineProperty(em, method, {
      configurable: true,
      value (this: EntityManager, ...args: unknown[]) {
        const current = this.getContext(false)
        const isOurs = current !== this && Object.hasOwn(current, method)
        return isOurs ? Reflect.apply(current[method], current, args) : Reflect.apply(inherited(this)[method], this, args)
      }
    })
  }
  return () => {
    for (const method of DELEGATED) delete em[method]
  }
}

/** The methods that ours replace, of MikroORM's class or of the app's own (`entityManager` in MikroORM's options). */
function inherited (em: EntityManager): EntityManager {
  return Object.getPrototypeOf(em)
}

async function runTransactional (em: EntityManager, scope: EntityManagerScope, ...[callback, options = {}]: Transactional): Promise<unknown> {
  const { propagation = TransactionPropagation.NESTED } = options
  if (ON_ITS_OWN.includes(propagation)) return await runIndependently(em, scope, callback, options)
  const run = (): Promise<unknown> => (
    inherited(em).transactional.call(em, inner => scope.runInside(inner, () => callback(inside(inner, scope))), options)
  )
  if (propagation !== TransactionPropagation.NESTED) return await run()
  // the inner EntityManager takes pending changes over; rolled back with the savepoint, they would be lost
  await flushPending(em, scope)
  const result = await scope.runNested(run)
  scope.noteFlush()
  return result
}

async function runIndependently (em: EntityManager, scope: EntityManagerScope, ...[callback, options]: Transactional): Promise<unknown> {
  // the same here: they would be committed beside the context, which may fail
  await flushPending(em, scope)
  const begins = BEGINS.includes(options?.propagation ?? TransactionPropagation.NESTED)
  return await scope.runIndependently(em, begins, withHooks => (
    inherited(em).transactional.call(em, inner => withHooks(async () => {
      // as MikroORM 7.2.5 does it for `NOT_SUPPORTED` too, where 7.2.1 leaves `em()` to be the outer one
      const result = await TransactionContext.create(inner, () => callback(inside(inner, scope)))
      await flushBeforeHooks(inner)
      scope.noteFlush()
      return result
    }), options)
  ))
}

/** Of the context's EntityManager, or of an inner one. */
async function flushPending (em: EntityManager, scope: EntityManagerScope): Promise<void> {
  if (em === scope.em) await scope.flush()
  else if (needsFlush(em)) await em.flush()
}

/** MikroORM flushes once more when the hooks have run, and tells subscribers of it, be there anything or not. */
async function flushBeforeHooks (inner: EntityManager): Promise<void> {
  if (!needsFlush(inner)) return
  const { flush } = inner
  await inner.flush()
  inner.flush = async () => { if (needsFlush(inner)) await flush.call(inner) }
}

/** Makes an inner EntityManager one that knows what it is inside of. */
function inside (em: EntityManager, scope: EntityManagerScope): EntityManager {
  if (SCOPE in em || PARENT in em) return em
  keepLateChanges(em, scope)
  return Object.assign(em, innerMethods, { [PARENT]: scope, [FLUSHES]: new Flushes() }) as unknown as EntityManager
}

interface AbortSettings {
  signal: AbortSignal | undefined
  inflightQueryAbortStrategy: InflightQueryAbortStrategy | undefined
}

/** MikroORM 7.2.1 takes them as options of a fork, which costs another one. */
function abortSettingsOf (em: EntityManager): AbortSettings {
  return em as unknown as AbortSettings
}

/**
 * Has MikroORM itself cancel the statements of the EntityManager, where it runs them by itself: with `transaction: false`.
 * What it is asked after that is not cancelled.
 */
export function makeCancellable (em: SqlEntityManager): () => void {
  const cancelling = new AbortController()
  const settings = abortSettingsOf(em)
  settings.signal = cancelling.signal
  settings.inflightQueryAbortStrategy = 'cancel query'
  return () => {
    settings.signal = undefined
    cancelling.abort()
  }
}

/** Takes the context's transaction away, which the fork's own method refuses. */
export function resetTransactionContext (em: SqlEntityManager): void {
  inherited(em).resetTransactionContext.call(em)
}

/**
 * The context has a transaction of ours, and the call is neither inside `em.transactional()` nor inside a savepoint
 * that `em.begin({ ctx })` made.
 */
function actsOnContext (em: ContextEntityManager): boolean {
  return em.getContext(false) === em && em[SCOPE].isAttached
}

/** An isolation level is the whole transaction's: it can be had until the transaction has begun. */
async function beginWith (em: ContextEntityManager, { isolationLevel, readOnly }: NonNullable<Transactional[1]> = {}): Promise<boolean> {
  if (isolationLevel === undefined && readOnly === undefined) return false
  const scope = em[SCOPE]
  if (scope.hasTransaction) {
    const wants = isolationLevel === undefined ? 'readOnly' : `isolationLevel '${isolationLevel}'`
    throw new FST_ORM_TRANSACTION_OPEN(scope.contextName, `${wants} cannot be had any more`, "Ask for it before the first write, in the route's config.orm, or in the options of runInContext()")
  }
  await scope.begin({ isolationLevel, readOnly })
  return true
}

/**
 * MikroORM allows a session context until the transaction has begun, and takes a deferred one for begun
 * (`sessionContextInsideTransaction`). Once it really has, MikroORM's own error is right.
 */
function beforeTransaction (em: ContextEntityManager, change: () => void): void {
  const scope = em[SCOPE]
  if (scope.hasTransaction || !actsOnContext(em)) return change()
  scope.detach()
  try {
    change()
  } finally {
    scope.attach()
  }
}

import { TransactionContext, TransactionPropagation, type EntityManager, type MikroORM } from '@mikro-orm/core'
import type { SqlEntityManager } from '@mikro-orm/sql'
import { FST_ORM_TRANSACTION_OPEN } from '../errors.ts'
import { ignoreAborts } from './abort-settings.ts'
import { withLine } from '../transaction/callers-line.ts'
import type { EntityManagerScope } from './entity-manager-scope.ts'
import { execute, inherited } from './inherited.ts'
import { keepLateChanges } from './late-changes.ts'
import { isIndependent, runIndependently, runTransactional, SCOPE, type Transactional } from './transactional.ts'

/**
 * The EntityManager of a context: a fork of the global one in which the methods differ that would otherwise replace,
 * suspend or overlook the context's transaction. All but `getContext` are public methods of MikroORM 7.2.1.
 */

type Begin = Parameters<EntityManager['begin']>

interface ContextEntityManager extends SqlEntityManager {
  [SCOPE]: EntityManagerScope
}

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

  async transactional (this: ContextEntityManager, ...args: Transactional): Promise<unknown> {
    return await withLine(() => runOnContext(this, ...args))
  },

  execute,

  async begin (this: ContextEntityManager, ...[options]: Begin): Promise<void> {
    if (!actsOnContext(this) || options?.ctx !== undefined) return await inherited(this).begin.call(this, options)
    if (!await beginWith(this, options)) await this[SCOPE].transaction.begin()
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

/** `orm.em` calls these on the context's EntityManager. All its other methods resolve the context by themselves. */
const DELEGATED = ['flush', 'transactional', 'begin', 'commit', 'rollback', 'setSessionContext', 'clearSessionContext', 'setFilterParams', 'addFilter'] as const

/** Forks the global EntityManager, or that of the parent context, whose filters, schema and session context it takes over. */
export function forkEntityManager (em: EntityManager, scope: EntityManagerScope): SqlEntityManager {
  const ours = Object.assign(scope.fork(em), methods) as unknown as ContextEntityManager
  ours[SCOPE] = scope
  ignoreAborts(ours)
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

/**
 * `REQUIRED`, which `@Transactional` uses, gets a savepoint here: MikroORM would take the deferred transaction for one
 * that the caller has begun, and half of what fails in it would stay.
 */
async function runOnContext (em: ContextEntityManager, ...[callback, options = {}]: Transactional): Promise<unknown> {
  const current = em.getContext(false)
  if (current !== em) return await current.transactional(callback, options)
  const scope = em[SCOPE]
  // inside a transaction that was begun by hand (`em.begin({ ctx })`, or with `transaction: false`), MikroORM nests
  if (!scope.isAttached && em.getTransactionContext() !== undefined) return await runTransactional(em, scope, callback, options)
  if (!scope.isAttached) return await runIndependently(em, scope, callback, options)

  const { NESTED, REQUIRED } = TransactionPropagation
  const propagation = options.propagation === REQUIRED ? NESTED : options.propagation ?? NESTED
  if (!isIndependent(propagation)) await beginWith(em, options)
  return await runTransactional(em, scope, callback, { ...options, propagation })
}

/** An isolation level is the whole transaction's: it can be had until the transaction has begun. */
async function beginWith (em: ContextEntityManager, { isolationLevel, readOnly }: NonNullable<Transactional[1]> = {}): Promise<boolean> {
  if (isolationLevel === undefined && readOnly === undefined) return false
  const scope = em[SCOPE]
  if (scope.transaction.isOpen) {
    const wants = isolationLevel === undefined ? 'readOnly' : `isolationLevel '${isolationLevel}'`
    throw new FST_ORM_TRANSACTION_OPEN(scope.contextName, `${wants} cannot be had any more`, "Ask for it before the first write, in the route's config.orm, or in the options of runInContext()")
  }
  await scope.transaction.begin({ isolationLevel, readOnly })
  return true
}

/**
 * MikroORM allows a session context until the transaction has begun, and takes a deferred one for begun
 * (`sessionContextInsideTransaction`). Once it really has, MikroORM's own error is right.
 */
function beforeTransaction (em: ContextEntityManager, change: () => void): void {
  const scope = em[SCOPE]
  if (scope.transaction.isOpen || !actsOnContext(em)) return change()
  scope.detach()
  try {
    change()
  } finally {
    scope.attach()
  }
}

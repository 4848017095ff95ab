import { TransactionContext, TransactionPropagation, type EntityManager, type InflightQueryAbortStrategy, type MikroORM } from '@mikro-orm/core'
import type { SqlEntityManager } from '@mikro-orm/sql'
import { deferredKyselyIn } from '../transaction/deferred-kysely.ts'
import { addCallersLine, FST_ORM_TRANSACTION_OPEN } from '../errors.ts'
import { Flushes } from './flushes.ts'
import { keepLateChanges } from './late-changes.ts'
import { needsFlush } from './pending-changes.ts'
import type { UnitOfWork } from '../context/database-scope.ts'

/**
 * The EntityManager of a context: a fork of the global one in which the methods differ that would otherwise replace,
 * suspend or overlook the context's transaction. All but `getContext` are public methods of MikroORM 7.2.1.
 */

type Begin = Parameters<EntityManager['begin']>
type Transactional = Parameters<EntityManager['transactional']>

const UNIT_OF_WORK = Symbol('fastify-context-orm.unit-of-work')
/** Of the EntityManagers that `em.transactional()` makes. */
const AROUND = Symbol('fastify-context-orm.around')
const FLUSHES = Symbol('fastify-context-orm.flushes')

interface ContextEntityManager extends SqlEntityManager {
  [UNIT_OF_WORK]: UnitOfWork
}

interface InnerEntityManager extends EntityManager {
  [AROUND]: UnitOfWork
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
    return inner !== undefined && this[UNIT_OF_WORK].isCurrent ? inner : this
  },

  /**
   * `REQUIRES_NEW` and `NOT_SUPPORTED` call this to suspend the transaction while they run. They have a fork of their
   * own to run on; what runs in parallel with them must stay in the context's transaction.
   */
  resetTransactionContext (this: ContextEntityManager): void {
    if (!this[UNIT_OF_WORK].keepsTransactionContext) inherited(this).resetTransactionContext.call(this)
  },

  flush (this: ContextEntityManager): Promise<void> {
    const flush = (): Promise<void> => inherited(this).flush.call(this)
    const unit = this[UNIT_OF_WORK]
    unit.noteFlush()
    return this.getContext(false) === this ? unit.runFlush(flush) : flush()
  },

  /**
   * `REQUIRED`, which `@Transactional` uses, gets a savepoint here: MikroORM would take the deferred transaction for one
   * that the caller has begun, and half of what fails in it would stay.
   */
  async transactional (this: ContextEntityManager, ...[callback, options = {}]: Transactional): Promise<unknown> {
    const current = this.getContext(false)
    if (current !== this) return await current.transactional(callback, options)
    const unit = this[UNIT_OF_WORK]
    // inside a transaction that was begun by hand (`em.begin({ ctx })`, or with `transaction: false`), MikroORM nests
    if (!unit.isAttached && this.getTransactionContext() !== undefined) return await runTransactional(this, unit, callback, options)
    if (!unit.isAttached) return await runBeside(this, unit, callback, options)

    const { NESTED, REQUIRED } = TransactionPropagation
    const propagation = options.propagation === REQUIRED ? NESTED : options.propagation ?? NESTED
    if (!ON_ITS_OWN.includes(propagation)) await beginWith(this, options)
    return await runTransactional(this, unit, callback, { ...options, propagation })
  },

  execute,

  async begin (this: ContextEntityManager, ...[options]: Begin): Promise<void> {
    if (!actsOnContext(this) || options?.ctx !== undefined) return await inherited(this).begin.call(this, options)
    if (!await beginWith(this, options)) await this[UNIT_OF_WORK].begin()
  },

  async commit (this: ContextEntityManager): Promise<void> {
    if (actsOnContext(this)) return await this[UNIT_OF_WORK].owner.commitNow('em.commit()', this[UNIT_OF_WORK])
    await inherited(this).commit.call(this)
    this[UNIT_OF_WORK].attach()
  },

  async rollback (this: ContextEntityManager): Promise<void> {
    if (actsOnContext(this)) return await this[UNIT_OF_WORK].owner.rollbackNow('em.rollback()', this[UNIT_OF_WORK])
    await inherited(this).rollback.call(this)
    this[UNIT_OF_WORK].attach()
  },

  addFilter (this: ContextEntityManager, ...args: Parameters<EntityManager['addFilter']>): void {
    this[UNIT_OF_WORK].tailor()
    inherited(this).addFilter.apply(this, args)
  },

  setSessionContext (this: ContextEntityManager, ...args: Parameters<EntityManager['setSessionContext']>): void {
    this[UNIT_OF_WORK].tailor()
    beforeTransaction(this, () => inherited(this).setSessionContext.apply(this, args))
  },

  clearSessionContext (this: ContextEntityManager): void {
    beforeTransaction(this, () => inherited(this).clearSessionContext.call(this))
  },

  setFilterParams (this: ContextEntityManager, ...args: Parameters<EntityManager['setFilterParams']>): void {
    this[UNIT_OF_WORK].tailor()
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
    return await runTransactional(this, this[AROUND], callback, options)
  }
}

/** Of these, `orm.em` calls the context's own; whatever else it is asked, it asks the context's EntityManager itself. */
const DELEGATED = ['flush', 'transactional', 'begin', 'commit', 'rollback', 'setSessionContext', 'clearSessionContext', 'setFilterParams', 'addFilter'] as const

/** Of the global one, or of that of the context around, whose filters, schema and session context it takes over. */
export function forkEntityManager (em: EntityManager, unit: UnitOfWork): SqlEntityManager {
  const { owner } = unit
  const fork = owner.sandbox === undefined ? em.fork({ disableContextResolution: true }) : owner.sandbox.fork(em, owner.name)
  const ours = Object.assign(fork, methods) as unknown as ContextEntityManager
  ours[UNIT_OF_WORK] = unit
  abortSettingsOf(ours).signal = undefined // that of the context around is none of its business
  keepLateChanges(ours, unit)
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

async function runTransactional (em: EntityManager, unit: UnitOfWork, ...[callback, options = {}]: Transactional): Promise<unknown> {
  const { propagation = TransactionPropagation.NESTED } = options
  if (ON_ITS_OWN.includes(propagation)) return await runBeside(em, unit, callback, options)
  const run = (): Promise<unknown> => (
    inherited(em).transactional.call(em, inner => unit.runInside(inner, () => callback(inside(inner, unit))), options)
  )
  if (propagation !== TransactionPropagation.NESTED) return await run()
  // the inner EntityManager takes pending changes over; rolled back with the savepoint, they would be lost
  await flushPending(em, unit)
  const result = await unit.runNested(run)
  unit.noteFlush()
  return result
}

async function runBeside (em: EntityManager, unit: UnitOfWork, ...[callback, options]: Transactional): Promise<unknown> {
  // the same here: they would be committed beside the context, which may fail
  await flushPending(em, unit)
  const begins = BEGINS.includes(options?.propagation ?? TransactionPropagation.NESTED)
  return await unit.runBeside(em, begins, withHooks => (
    inherited(em).transactional.call(em, inner => withHooks(async () => {
      // as MikroORM 7.2.5 does it for `NOT_SUPPORTED` too, where 7.2.1 leaves `em()` to be the outer one
      const result = await TransactionContext.create(inner, () => callback(inside(inner, unit)))
      await flushBeforeHooks(inner)
      unit.noteFlush()
      return result
    }), options)
  ))
}

/** Of the context's EntityManager, or of an inner one. */
async function flushPending (em: EntityManager, unit: UnitOfWork): Promise<void> {
  if (em === unit.em) await unit.flush()
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
function inside (em: EntityManager, unit: UnitOfWork): EntityManager {
  if (UNIT_OF_WORK in em || AROUND in em) return em
  keepLateChanges(em, unit)
  return Object.assign(em, innerMethods, { [AROUND]: unit, [FLUSHES]: new Flushes() }) as unknown as EntityManager
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
  return em.getContext(false) === em && em[UNIT_OF_WORK].isAttached
}

/** An isolation level is the whole transaction's: it can be had until the transaction has begun. */
async function beginWith (em: ContextEntityManager, { isolationLevel, readOnly }: NonNullable<Transactional[1]> = {}): Promise<boolean> {
  if (isolationLevel === undefined && readOnly === undefined) return false
  const unit = em[UNIT_OF_WORK]
  if (unit.hasBegun) {
    const wants = isolationLevel === undefined ? 'readOnly' : `isolationLevel '${isolationLevel}'`
    throw new FST_ORM_TRANSACTION_OPEN(unit.owner.name, `${wants} cannot be had any more`, "Ask for it before the first write, in the route's config.orm, or in the options of runInContext()")
  }
  await unit.begin({ isolationLevel, readOnly })
  return true
}

/**
 * MikroORM allows a session context until the transaction has begun, and takes a deferred one for begun
 * (`sessionContextInsideTransaction`). Once it really has, MikroORM's own error is right.
 */
function beforeTransaction (em: ContextEntityManager, change: () => void): void {
  const unit = em[UNIT_OF_WORK]
  if (unit.hasBegun || !actsOnContext(em)) return change()
  unit.detach()
  try {
    change()
  } finally {
    unit.attach()
  }
}

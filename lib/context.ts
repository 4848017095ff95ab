import { RequestContext, TransactionContext, type EntityManager, type MikroORM } from '@mikro-orm/core'
import { AsyncLocalStorage } from 'node:async_hooks'
import type { Databases } from './databases.ts'
import { FST_ORM_NO_CONTEXT, FST_ORM_PARTIAL_COMMIT } from './errors.ts'
import type { TransactionOptions } from './options.ts'
import type { ContextEntityManager } from './types.ts'
import { UnitOfWork } from './unit-of-work.ts'

/** What became of a context. One that used a database and only read is `committed`. */
export type Outcome = 'untouched' | 'committed' | 'rolledBack' | 'commitFailed'

/** What caused the outcome: see the table of endings in the README. */
export type Ending = 'reply' | 'status' | 'error' | 'abort' | 'close'

const storage = new AsyncLocalStorage<Context>()

/** Shared by all contexts that use no database. */
const NONE: readonly UnitOfWork[] = []

/**
 * The boundary of one piece of work. It costs next to nothing until somebody asks it for an EntityManager; then it
 * opens a unit of work for that database. It ends once, with one outcome, whichever of its endings comes first, and
 * refuses writes from then on.
 */
export abstract class Context {
  readonly #databases: Databases
  readonly #outerRequestContext = RequestContext.currentRequestContext()
  #units = NONE
  #isReleased = false
  #ending: Ending | undefined
  #outcome: Outcome | undefined

  constructor (databases: Databases) {
    this.#databases = databases
  }

  /** For error messages and logs, such as `POST /books`. */
  abstract get name (): string

  /** Asked when the context opens its first unit of work; `false` if it must have none. */
  abstract get options (): TransactionOptions | false

  /** Called before the first unit of work is opened. */
  protected abstract onFirstUse (): void

  /** Called when the context has ended. */
  protected abstract onEnd (): void

  /** Logs what has failed after the outcome was decided. */
  abstract report (error: unknown, message: string): void

  get ending (): Ending | undefined {
    return this.#ending
  }

  get outcome (): Outcome | undefined {
    return this.#outcome
  }

  /** Has used a database, and nothing has ended it yet. */
  get isInUse (): boolean {
    return this.#units !== NONE && this.#ending === undefined
  }

  /** Has begun a transaction, which nothing has ended yet. */
  get hasUncommitted (): boolean {
    return this.#units.some(unit => unit.hasBegun)
  }

  get isCurrent (): boolean {
    return storage.getStore() === this
  }

  /** Runs `callback`, and all that follows from it, inside the context. */
  run<T> (callback: () => T): T {
    return TransactionContext.currentTransactionContext() === undefined
      ? storage.run(this, callback)
      : storage.run(this, () => outsideTransactions(callback))
  }

  /** Runs `callback` in the context itself, also from within an `em.transactional()` or from outside. */
  runOutermost<T> (callback: () => T): T {
    return this.isCurrent && TransactionContext.currentTransactionContext() === undefined ? callback() : this.run(callback)
  }

  /** The context's own EntityManager for the database of that name, by default the first. */
  entityManager (name?: string): EntityManager {
    return this.#unitOf(this.#databases.get(name)).em.getContext(false)
  }

  /** The same, or that of a MikroORM `RequestContext` that was entered inside the context. */
  innermostEntityManager (name?: string): EntityManager {
    const inner = this.hasInnerRequestContext && RequestContext.getEntityManager(this.#databases.get(name).em.name)
    return inner ? inner.getContext(false) : this.entityManager(name)
  }

  /** What `orm.em` is inside the context: `undefined` if it is none of the context's business. */
  resolve (orm: MikroORM): EntityManager | undefined {
    const isMine = this.#databases.has(orm) && this.options !== false &&
      !this.#isReleased && !this.hasInnerRequestContext
    return isMine ? this.#unitOf(orm).em : undefined
  }

  /** A MikroORM `RequestContext` (or `@CreateRequestContext`) that was entered inside the context is the inner one. */
  get hasInnerRequestContext (): boolean {
    const current = RequestContext.currentRequestContext()
    return current !== undefined && current !== this.#outerRequestContext
  }

  /** Flushes every unit of work, so that generated ids and defaults are known. */
  async flush (): Promise<void> {
    for (const unit of this.#units) await unit.flush()
  }

  /** Ends a context that has used no database; of others, and of those that have ended, it does nothing. */
  endUntouched (ending: Ending): void {
    if (this.#units === NONE && this.#ending === undefined) this.#end(ending, 'untouched')
  }

  /**
   * Flushes all units of work, then commits them. What has failed is thrown, and everything that could still be rolled
   * back has been. The flush may be overtaken by another ending: look at `ending` then.
   */
  async commit (ending: Ending): Promise<void> {
    if (this.#ending !== undefined) return
    try {
      await this.flush()
    } catch (error) {
      await this.rollback(ending)
      throw error
    }
    if (this.#ending !== undefined) return

    const units = this.#units
    this.#ending = ending // decided: from here on nothing overtakes the commit
    const committed: UnitOfWork[] = []
    try {
      for (const unit of units) {
        if (await unit.commit()) committed.push(unit)
      }
      this.#end(ending, units === NONE ? 'untouched' : 'committed')
    } catch (error) {
      this.#end(ending, 'commitFailed')
      await Promise.all(units.map(unit => unit.rollback()))
      if (committed.length === 0) throw error
      const rest = units.filter(unit => !committed.includes(unit))
      throw new FST_ORM_PARTIAL_COMMIT(this.name, names(committed), names(rest), { cause: error })
    }
  }

  /**
   * Rolls back and ends the context. Resolves when that is done, or at once if it has to wait for a statement or for a
   * connection: nobody whose request has failed should wait for that as well. Never rejects.
   */
  async rollback (ending: Ending): Promise<void> {
    if (this.#ending !== undefined) return
    const units = this.#units
    this.#end(ending, units === NONE ? 'untouched' : 'rolledBack')
    await Promise.all(units.map(async unit => {
      const { isBusy } = unit
      const rolledBack = unit.rollback()
      if (isBusy) this.#databases.addUnfinished(rolledBack)
      else await rolledBack
    }))
  }

  /**
   * Lets go of the EntityManagers, which until then still read for a reply that is streamed: something that keeps the
   * context alive for long, like a timer, must not keep their entities as well.
   */
  protected release (): void {
    this.#isReleased = true
    for (const unit of this.#units) this.#databases.addUnfinished(unit.release())
    this.#units = NONE
  }

  #end (ending: Ending, outcome: Outcome): void {
    this.#ending = ending
    this.#outcome = outcome
    for (const unit of this.#units) {
      if (unit.reads !== undefined) this.#databases.addUnfinished(unit.reads)
    }
    this.onEnd()
  }

  #unitOf (orm: MikroORM): UnitOfWork {
    const options = this.options
    if (options === false) {
      throw new FST_ORM_NO_CONTEXT('em()', `${this.name} opted out with config.orm: false`, 'Remove that, or use orm.em.fork()')
    }
    const open = this.#units.find(unit => unit.orm === orm)
    if (open !== undefined) return open

    if (this.#units === NONE && this.#ending === undefined) this.onFirstUse()
    const unit = new UnitOfWork(orm, this, options)
    // Whoever comes after the end gets one that refuses writes, and always the same, or its flush would find nothing to
    // refuse. After the release it refuses reads too: filters and session contexts were set on the one that is gone.
    if (this.#ending !== undefined) unit.close({ reads: !this.#isReleased })
    this.#units = [...this.#units, unit]
    return unit
  }
}

/** The context that the caller runs in, if any. */
export function currentContext (): Context | undefined {
  return storage.getStore()
}

/**
 * The EntityManager of the current context, for the database of that name (its MikroORM's `contextName`), by default
 * the first that was registered. Inside `em().transactional()` it is the inner one.
 *
 * Throws `FST_ORM_NO_CONTEXT` outside a context and `FST_ORM_UNKNOWN_DATABASE` for a name that was not registered.
 */
export function em (name?: string): ContextEntityManager {
  const context = storage.getStore()
  if (context === undefined) {
    throw new FST_ORM_NO_CONTEXT('em()', 'no request is being handled here, or it has not come so far',
      'Call it below a request, after the onRequest hook of fastify-context-orm, or use orm.em.fork()')
  }
  return context.innermostEntityManager(name) as ContextEntityManager
}

/** MikroORM's transaction context has no public way out; one of a name that nobody asks for hides the outer one. */
function outsideTransactions<T> (callback: () => T): T {
  return TransactionContext.create(NO_ENTITY_MANAGER, callback)
}

const NO_ENTITY_MANAGER = { name: undefined, _id: 0 } as unknown as EntityManager

function names (units: UnitOfWork[]): string {
  return units.map(unit => `"${unit.name}"`).join(', ')
}

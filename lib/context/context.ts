import { RequestContext, TransactionContext, type EntityManager, type MikroORM } from '@mikro-orm/core'
import type { AbstractSqlConnection } from '@mikro-orm/sql'
import type { FastifyBaseLogger } from 'fastify'
import { AsyncLocalStorage } from 'node:async_hooks'
import type { CommitHook, HookKind } from './commit-hooks.ts'
import type { Databases } from '../databases/databases.ts'
import { begun, failed, type BegunEvent, type ContextDescription, type FailedEvent } from './events.ts'
import { FST_ORM_BAD_OPTION, FST_ORM_CONTEXT_ENDED, FST_ORM_NO_CONTEXT } from '../errors.ts'
import type { TransactionOptions } from '../options/options.ts'
import { show } from '../util/show.ts'
import type { OrmSource } from '../options/orm-source.ts'
import type { Ending, Outcome } from './outcome.ts'
import { hooksOfOwnTransaction } from './independent-hooks.ts'
import type { Savepoint } from '../transaction/savepoint.ts'
import { RunningContext } from './running-contexts.ts'
import { currentSandbox, type SandboxOfContexts } from './sandboxes.ts'
import { UnitOfWork } from './database-scope.ts'
import { Work } from './database-scopes.ts'

const storage = new AsyncLocalStorage<Context>()

/**
 * The boundary of one piece of work. It costs next to nothing until somebody asks it for an EntityManager; then it
 * opens a unit of work for that database. It ends once, with one outcome, whichever of its endings comes first, and
 * refuses writes from then on.
 */
export abstract class Context {
  readonly databases: Databases
  /** Of a test, if the context belongs to one. */
  readonly sandbox: SandboxOfContexts | undefined = currentSandbox()
  readonly #outerRequestContext = RequestContext.currentRequestContext()
  #outer = openContextAround()
  #work: Work | undefined
  #running: RunningContext | undefined
  #isReleased = false
  #tailored: Map<OrmSource, EntityManager> | undefined
  #ending: Ending | undefined
  #outcome: Outcome | undefined

  constructor (databases: Databases) {
    this.databases = databases
  }

  /** For error messages and logs, such as `POST /books`. */
  abstract get name (): string

  /** Asked when the context is first used; `false` if it must not be. */
  abstract get options (): TransactionOptions | false

  /** Called before each commit of a database that has something to commit. */
  abstract get beforeCommit (): ((em: EntityManager) => unknown) | undefined

  /** Whether a rollback waits for a statement that is running; it never waits for a connection. */
  protected abstract readonly waitsForStatements: boolean

  /** Called before the context is first used. */
  protected abstract onFirstUse (): void

  /** Called when the context has ended. */
  protected abstract onEnd (): void

  /** Called when a context that was used has ended, and all that its end has to do is done. */
  protected abstract onSettled (): void

  /** The EntityManager of the context around, if this one is a branch of it. */
  protected abstract emAround (source: OrmSource): EntityManager | undefined

  /** What events say of it. */
  abstract get description (): ContextDescription

  /** Milliseconds after which it is worth a warning that a connection was held by a transaction. */
  abstract get warnHeldMs (): number

  /** Milliseconds after which a stream is ended that keeps a connection for a reader that does not read on. */
  abstract get streamTimeout (): number

  /** Ends it as the abort of a client or of a signal does, because the app is closing. */
  abstract abort (reason: Error): void

  /** Where the context logs to, if it has a logger. */
  abstract get log (): FastifyBaseLogger | undefined

  /** Publishes and logs what has failed after the outcome was decided; without a logger, as a warning of the process. */
  report (error: unknown, message: string): void {
    if (failed.hasSubscribers) failed.publish({ ...this.description, message, error } satisfies FailedEvent)
    if (this.log !== undefined) return this.log.error({ err: error }, message)
    process.emitWarning(message, { type: 'FastifyContextOrmWarning', detail: error instanceof Error ? error.stack : String(error) })
  }

  get ending (): Ending | undefined {
    return this.#ending
  }

  get outcome (): Outcome | undefined {
    return this.#outcome
  }

  /** It was ended because nobody waits for it any more. */
  get isAborted (): boolean {
    return this.#ending === 'abort' || this.#ending === 'close'
  }

  /** The context that it was opened in, as long as neither has ended. */
  get outer (): Context | undefined {
    return this.#outer
  }

  /** Has used a database, and nothing has ended it yet. */
  get isInUse (): boolean {
    return this.#work !== undefined && this.#ending === undefined
  }

  /** Has used a database, and not settled yet. */
  get isRunning (): boolean {
    return this.#running !== undefined
  }

  /** Has begun a transaction, which nothing has ended yet. */
  get hasUncommitted (): boolean {
    return this.#work?.hasBegun === true
  }

  /** A commit may find something to do. */
  get hasSomethingToCommit (): boolean {
    return this.isInUse && !this.#work!.isIdle && !this.#isReadOnly
  }

  /** Its last commit has written something. */
  get hasCommitted (): boolean {
    return this.#work?.hasCommitted === true && !this.#isReadOnly
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
    return this.#unitOf(this.databases.get(name)).em.getContext(false)
  }

  /** The same, or that of a MikroORM `RequestContext` that was entered inside the context. */
  innermostEntityManager (name?: string): EntityManager {
    const inner = this.hasInnerRequestContext && RequestContext.getEntityManager(this.databases.get(name).name)
    return inner ? inner.getContext(false) : this.entityManager(name)
  }

  /** What `orm.em` is inside the context: `undefined` if it is none of the context's business. */
  resolve (orm: MikroORM): EntityManager | undefined {
    const source = this.databases.of(orm)
    const isMine = source !== undefined && this.options !== false && !this.#isReleased && !this.hasInnerRequestContext
    return isMine ? this.#unitOf(source).em : undefined
  }

  /** A MikroORM `RequestContext` (or `@CreateRequestContext`) that was entered inside the context is the inner one. */
  get hasInnerRequestContext (): boolean {
    const current = RequestContext.currentRequestContext()
    return current !== undefined && current !== this.#outerRequestContext
  }

  /** The context that calls at the moment. */
  get caller (): Context | undefined {
    return storage.getStore()
  }

  connectionsOf (pool: AbstractSqlConnection): number {
    return this.#work?.connectionsOf(pool) ?? 0
  }

  /** What the context has from its first use on. Throws `FST_ORM_NO_CONTEXT` if it must not be used. */
  use (what: string): Work {
    if (this.options === false) {
      throw new FST_ORM_NO_CONTEXT(what, `${this.name} opted out with config.orm: false`, 'Remove that, or use runInContext()')
    }
    if (this.#work === undefined) {
      if (this.#ending === undefined) this.onFirstUse()
      if (this.#ending === undefined) this.#running = new RunningContext(this) // the client may be gone already
      this.#work = new Work(this)
    }
    return this.#work
  }

  /**
   * The EntityManager of that database here or around, if it has filters, a schema or a session context of its own. After
   * the release it is an empty one that has the same.
   */
  tailoredEntityManager (source: OrmSource): EntityManager | undefined {
    if (this.#isReleased) return this.#tailored?.get(source)
    const unit = this.#work?.unitOf(source)
    return unit === undefined ? this.emAround(source) : unit.isTailored ? unit.em.getContext(false) : undefined
  }

  /** The unit of work of that database, if it has been used, and otherwise a new one. */
  unit (name?: string): UnitOfWork {
    return this.#unitOf(this.databases.get(name))
  }

  /** Registers a hook with the transaction that the caller is in. */
  addHook (kind: HookKind, hook: CommitHook): void {
    const what = `${kind}()`
    const work = this.use(what)
    this.assertOpen(what)
    if (typeof hook !== 'function') throw new FST_ORM_BAD_OPTION(what, 'hook', 'a function', show(hook))
    const own = hooksOfOwnTransaction(this)
    if (own !== undefined) own.add(kind, hook)
    else work.hooks.add(kind, hook, work.savepoints)
  }

  assertOpen (what: string): void {
    if (this.#ending !== undefined) throw new FST_ORM_CONTEXT_ENDED(this.name, this.#outcome ?? 'it is being settled', what)
  }

  /** A stream was ended by its `streamTimeout`. */
  onStreamTimeout (error: Error): void {
    this.report(error, error.message)
  }

  /** For whoever would wait for the connection of a commit that only waits for the first chunk of its reply: see there. */
  hastenCommit (): Promise<void> | undefined {
    return undefined
  }

  /** Flushes every unit of work, so that generated ids and defaults are known. `undefined` if there is nothing to flush. */
  flush (): Promise<void> | undefined {
    return this.#work?.flush()
  }

  /** Ends a context that has not been used; of others, and of those that have ended, it does nothing. */
  endUntouched (ending: Ending): void {
    if (this.#work === undefined && this.#ending === undefined) this.#end(ending, 'untouched')
  }

  /**
   * Flushes all units of work, then commits them. What has failed is thrown, and everything that could still be rolled
   * back has been. The flush may be overtaken by another ending: look at `ending` then.
   */
  async commit (ending: Ending): Promise<void> {
    const work = this.#work
    if (work === undefined) return this.endUntouched(ending)
    let isDecided = false
    try {
      await work.untilOthersHaveRun()
      if (this.endIdle(ending)) return
      await work.inTurn(async () => {
        const preparing = this.#ending === undefined ? work.prepareCommit() : undefined
        if (preparing !== undefined) await preparing
        if (this.#ending !== undefined) return
        work.assertComplete()
        this.#ending = ending // decided: from here on nothing overtakes the commit
        isDecided = true
        await work.commit({ last: true })
      })
    } catch (error) {
      if (isDecided) await this.#settle(work, ending, 'commitFailed', error)
      else await this.rollback(ending, error)
      throw error
    }
    if (isDecided) await this.#settle(work, ending, 'committed')
  }

  /** Before the context ends: resolves when what nobody has awaited is on its way; see `Work`. */
  untilOthersHaveRun (): Promise<unknown> | undefined {
    return this.#work?.untilOthersHaveRun()
  }

  /** Ends a context that has only read, which takes no time. Returns whether it has ended, by now or before. */
  endIdle (ending: Ending): boolean {
    const work = this.#work
    if (this.#ending !== undefined) return true
    if (work?.isIdle !== true) return false
    work.close()
    this.#settle(work, ending, 'committed')
    return true
  }

  /**
   * Rolls back and ends the context, because of `error` if that is known. Resolves when that is done, or at once if it has
   * to wait for longer than the context does. Never rejects.
   */
  async rollback (ending: Ending, error?: unknown): Promise<void> {
    const work = this.#work
    if (work === undefined) return this.endUntouched(ending)
    if (this.#ending !== undefined) return
    this.#end(ending, 'rolledBack')
    const mustWait = work.units.some(unit => unit.isBeginning) ||
      (!this.waitsForStatements && (work.isSettling || work.units.some(unit => unit.isBusy)))
    const ends = work.units.map(unit => unit.rollback({ last: true }))
    if (ending === 'abort') ends.push(...work.units.map(unit => unit.cancel()))
    const rolledBack = Promise.all(ends).then(async () => {
      await work.untilSettled() // a commit by hand that is on its way has its hooks for itself
      work.tell(ending, 'rolledBack', error)
      await work.runAfterRollback()
      this.#settled()
    })
    if (mustWait) this.databases.addUnfinished(rolledBack)
    else await rolledBack
  }

  /** Commits by hand, for all databases or one, and goes on. */
  async commitNow (what: string, unit?: UnitOfWork): Promise<void> {
    await this.#workToSettle(what).commitNow(unit && [unit])
  }

  /** Rolls back by hand, for all databases or one, and goes on. */
  async rollbackNow (what: string, unit?: UnitOfWork): Promise<void> {
    if (this.#outcome === 'rolledBack') return // a `catch` that takes back what an abort or a timeout already has
    await this.#workToSettle(what).rollbackNow(unit && [unit])
  }

  /** A statement that is not provably a read is run. */
  noteWrite (): void {
    this.#work?.noteWrite()
  }

  /** One of its transactions has begun. */
  hasBegun (database: string): void {
    if (begun.hasSubscribers) begun.publish({ ...this.description, database } satisfies BegunEvent)
  }

  /** Resolves when nobody is committing or rolling back, unless the caller is part of that. */
  async untilSettled (): Promise<void> {
    await this.#work?.untilSettled()
  }

  /** Its transaction has gone back to a savepoint. */
  async wentBackTo (savepoint: Savepoint): Promise<void> {
    await this.#work?.wentBackTo(savepoint)
  }

  /**
   * Lets go of the EntityManagers, which until then still read for a reply that is streamed: something that keeps the
   * context alive for long, like a timer, must not keep their entities as well.
   */
  protected release (): void {
    for (const source of this.databases.all) {
      const tailored = this.tailoredEntityManager(source)
      if (tailored !== undefined) (this.#tailored ??= new Map()).set(source, tailored.fork({ disableContextResolution: true }))
    }
    this.#isReleased = true
    for (const unit of this.#work?.units ?? []) {
      const released = unit.release()
      if (released !== undefined) this.databases.addUnfinished(released)
    }
    this.#work = undefined
  }

  protected get isSettledByCaller (): boolean {
    return this.#work?.isSettledByCaller === true
  }

  get #isReadOnly (): boolean {
    return (this.options as TransactionOptions).readOnly === true
  }

  #end (ending: Ending, outcome: Outcome): void {
    this.#ending = ending
    this.#outcome = outcome
    this.#outer = undefined
    for (const { reads } of this.#work?.units ?? []) {
      if (reads !== undefined) this.databases.addUnfinished(reads)
    }
    this.onEnd()
  }

  #settle (work: Work, ending: Ending, outcome: 'committed' | 'commitFailed', error?: unknown): Promise<void> | void {
    this.#end(ending, outcome)
    work.tell(ending, outcome, error)
    if (work.hooks.isEmpty) return this.#settled()
    return (outcome === 'committed' ? work.runAfterCommit() : work.runAfterRollback()).then(() => this.#settled())
  }

  #settled (): void {
    this.#running?.leave()
    this.#running = undefined
    this.onSettled()
  }

  #workToSettle (what: string): Work {
    const work = this.use(what)
    this.assertOpen(what)
    work.assertCanSettle(what)
    return work
  }

  #unitOf (source: OrmSource): UnitOfWork {
    const work = this.use('em()')
    const open = work.unitOf(source)
    if (open !== undefined) return open

    const unit = new UnitOfWork(source, this, this.options as TransactionOptions, this.emAround(source))
    // Whoever comes after the end gets one that refuses writes, and always the same, or its flush would find nothing to
    // refuse. After the release it refuses reads too: filters and session contexts were set on the one that is gone.
    if (this.#ending !== undefined) unit.close({ reads: !this.#isReleased })
    work.add(unit)
    return unit
  }
}

/** The context that the caller runs in, if any. */
export function currentContext (): Context | undefined {
  return storage.getStore()
}

/** Ended ones are skipped: a chain of contexts that each begin in the one before must not grow for ever. */
function openContextAround (): Context | undefined {
  let context = storage.getStore()
  while (context?.ending !== undefined) context = context.outer
  return context
}

/** MikroORM's transaction context has no public way out; one of a name that nobody asks for hides the outer one. */
function outsideTransactions<T> (callback: () => T): T {
  return TransactionContext.create(NO_ENTITY_MANAGER, callback)
}

const NO_ENTITY_MANAGER = { name: undefined, _id: 0 } as unknown as EntityManager

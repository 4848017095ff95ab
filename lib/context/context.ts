import { RequestContext, TransactionContext, type EntityManager, type MikroORM } from '@mikro-orm/core'
import type { FastifyBaseLogger } from 'fastify'
import { AsyncLocalStorage } from 'node:async_hooks'
import type { CommitHook, HookKind } from './commit-hooks.ts'
import type { DatabaseSet } from './database-set.ts'
import type { Driver } from '../drivers/driver.ts'
import { begun, failed, type BegunEvent, type ContextDescription, type FailedEvent } from './events.ts'
import { FST_ORM_BAD_OPTION, FST_ORM_CONTEXT_ENDED, FST_ORM_NO_CONTEXT } from '../errors.ts'
import type { TransactionOptions } from '../options/options.ts'
import { show } from '../util/show.ts'
import type { OrmSource } from '../options/orm-source.ts'
import { hooksOfIndependentTransaction } from './independent-hooks.ts'
import { Settlement, type Ending } from './settlement.ts'
import type { Savepoint } from '../transaction/savepoint.ts'
import { outsideTransactions } from '../mikro-orm/internals.ts'
import { RunningContext, type RunnableContext } from './running-contexts.ts'
import { currentSandbox, type SandboxOfContexts } from './sandboxes.ts'
import { DatabaseScope, type ScopeOwner } from './database-scope.ts'
import { DatabaseScopes, type ScopesOwner } from './database-scopes.ts'

const storage = new AsyncLocalStorage<Context>()

/**
 * The boundary of one piece of work. It costs next to nothing until somebody asks it for an EntityManager; then it
 * opens a scope for that database. It ends once, with one outcome, whichever of its endings comes first, and
 * refuses writes from then on.
 */
export abstract class Context extends Settlement implements ScopeOwner, ScopesOwner, RunnableContext {
  readonly databases: DatabaseSet
  /** Of a test, if the context belongs to one. */
  readonly sandbox: SandboxOfContexts | undefined = currentSandbox()
  readonly #requestContextAround = RequestContext.currentRequestContext()
  #parent = openParent()
  #scopes: DatabaseScopes | undefined
  #running: RunningContext | undefined
  #withOwnSettings: Map<OrmSource, EntityManager> | undefined

  constructor (databases: DatabaseSet) {
    super()
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

  /** The EntityManager of the parent, if this context is a branch of it. */
  protected abstract emOfParent (source: OrmSource): EntityManager | undefined

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

  /** The context that it was opened in, as long as neither has ended. */
  get parent (): Context | undefined {
    return this.#parent
  }

  /** Has used a database, and not settled yet. */
  get isRunning (): boolean {
    return this.#running !== undefined
  }

  /** Has begun a transaction, which nothing has ended yet. */
  get hasUncommitted (): boolean {
    return this.#scopes?.hasTransaction === true
  }

  /** A commit may find something to do. */
  get hasSomethingToCommit (): boolean {
    return this.isInUse && !this.#scopes!.isIdle && !this.#isReadOnly
  }

  /** Its last commit has written something. */
  get hasCommitted (): boolean {
    return this.#scopes?.hasCommitted === true && !this.#isReadOnly
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
    return this.#scopeOf(this.databases.get(name)).em.getContext(false)
  }

  /** The same, or that of a MikroORM `RequestContext` that was entered inside the context. */
  innermostEntityManager (name?: string): EntityManager {
    const inner = this.hasInnerRequestContext && RequestContext.getEntityManager(this.databases.get(name).name)
    return inner ? inner.getContext(false) : this.entityManager(name)
  }

  /** What `orm.em` is inside the context: `undefined` if it is none of the context's business. */
  resolve (orm: MikroORM): EntityManager | undefined {
    const source = this.databases.of(orm)
    const isMine = source !== undefined && this.options !== false && !this.isReleased && !this.hasInnerRequestContext
    return isMine ? this.#scopeOf(source).em : undefined
  }

  /** A MikroORM `RequestContext` (or `@CreateRequestContext`) that was entered inside the context is the inner one. */
  get hasInnerRequestContext (): boolean {
    const current = RequestContext.currentRequestContext()
    return current !== undefined && current !== this.#requestContextAround
  }

  /** The context that calls at the moment. */
  get caller (): Context | undefined {
    return storage.getStore()
  }

  connectionsOf (driver: Driver): number {
    return this.#scopes?.connectionsOf(driver) ?? 0
  }

  /** What the context has from its first use on. Throws `FST_ORM_NO_CONTEXT` if it must not be used. */
  use (what: string): DatabaseScopes {
    if (this.options === false) {
      throw new FST_ORM_NO_CONTEXT(what, `${this.name} opted out with config.orm: false`, 'Remove that, or use runInContext()')
    }
    if (this.#scopes === undefined) {
      if (this.state === 'unused') this.onFirstUse()
      if (this.advance('use')) this.#running = new RunningContext(this) // the client may be gone already
      this.#scopes = new DatabaseScopes(this)
    }
    return this.#scopes
  }

  /**
   * The EntityManager of that database here or around, if it has filters, a schema or a session context of its own. After
   * the release it is an empty one that has the same.
   */
  entityManagerWithOwnSettings (source: OrmSource): EntityManager | undefined {
    return this.isReleased ? this.#withOwnSettings?.get(source) : this.#ownSettingsOf(source)
  }

  /** The scope of that database, if it has been used, and otherwise a new one. */
  scope (name?: string): DatabaseScope {
    return this.#scopeOf(this.databases.get(name))
  }

  /** Registers a hook with the transaction that the caller is in. */
  addHook (kind: HookKind, hook: CommitHook): void {
    const what = `${kind}()`
    const scopes = this.use(what)
    this.assertOpen(what)
    if (typeof hook !== 'function') throw new FST_ORM_BAD_OPTION(what, 'hook', 'a function', show(hook))
    const own = hooksOfIndependentTransaction(this)
    if (own !== undefined) own.add(kind, hook)
    else scopes.hooks.add(kind, hook, scopes.savepoints)
  }

  assertOpen (what: string): void {
    if (this.ending !== undefined) throw new FST_ORM_CONTEXT_ENDED(this.name, this.outcome ?? 'it is being settled', what)
  }

  /** A stream was ended by its `streamTimeout`. */
  onStreamTimeout (error: Error): void {
    this.report(error, error.message)
  }

  /** For whoever would wait for the connection of a commit that only waits for the first chunk of its reply: see there. */
  hastenCommit (): Promise<void> | undefined {
    return undefined
  }

  /** Flushes every scope, so that generated ids and defaults are known. `undefined` if there is nothing to flush. */
  flush (): Promise<void> | undefined {
    return this.#scopes?.flush()
  }

  /** Ends a context that has not been used; of others, and of those that have ended, it does nothing. */
  endUntouched (ending: Ending): void {
    if (this.advance('leave', ending)) this.#end()
  }

  /**
   * Flushes all scopes, then commits them. What has failed is thrown, and everything that could still be rolled
   * back has been. The flush may be overtaken by another ending: look at `ending` then.
   */
  async commit (ending: Ending): Promise<void> {
    const scopes = this.#scopes
    if (scopes === undefined) return this.endUntouched(ending)
    let isDecided = false
    try {
      await scopes.untilOthersHaveRun()
      if (this.endIdle(ending)) return
      await scopes.inTurn(async () => {
        const preparing = this.ending === undefined ? scopes.prepareCommit() : undefined
        if (preparing !== undefined) await preparing
        if (this.ending !== undefined) return
        scopes.assertComplete()
        isDecided = this.advance('decide', ending)
        await scopes.commit({ last: true })
      })
    } catch (error) {
      if (isDecided) await this.#settle(scopes, 'fail', error)
      else await this.rollback(ending, error)
      throw error
    }
    if (isDecided) await this.#settle(scopes, 'commit')
  }

  /** Before the context ends: resolves when what nobody has awaited is on its way; see `DatabaseScopes`. */
  untilOthersHaveRun (): Promise<unknown> | undefined {
    return this.#scopes?.untilOthersHaveRun()
  }

  /** Ends a context that has only read, which takes no time. Returns whether it has ended, by now or before. */
  endIdle (ending: Ending): boolean {
    const scopes = this.#scopes
    if (this.ending !== undefined) return true
    if (scopes?.isIdle !== true) return false
    scopes.close()
    this.advance('decide', ending)
    this.#settle(scopes, 'commit')
    return true
  }

  /**
   * Rolls back and ends the context, because of `error` if that is known. Resolves when that is done, or at once if it has
   * to wait for longer than the context does. Never rejects.
   */
  async rollback (ending: Ending, error?: unknown): Promise<void> {
    const scopes = this.#scopes
    if (scopes === undefined) return this.endUntouched(ending)
    if (!this.advance('rollback', ending)) return
    this.#end()
    const mustWait = scopes.all.some(scope => scope.isBeginning) ||
      (!this.waitsForStatements && (scopes.isSettling || scopes.all.some(scope => scope.isBusy)))
    const ends = scopes.all.map(scope => scope.rollback({ last: true }))
    if (ending === 'abort') ends.push(...scopes.all.map(scope => scope.cancel()))
    const rolledBack = Promise.all(ends).then(async () => {
      await scopes.untilSettled() // a commit by hand that is on its way has its hooks for itself
      scopes.tell(this, error)
      await scopes.runAfterRollback()
      this.#finish()
    })
    if (mustWait) this.databases.addUnfinished(rolledBack)
    else await rolledBack
  }

  /** Commits by hand, for all databases or one, and goes on. */
  async commitNow (what: string, scope?: DatabaseScope): Promise<void> {
    await this.#scopesToSettle(what).commitNow(scope && [scope])
  }

  /** Rolls back by hand, for all databases or one, and goes on. */
  async rollbackNow (what: string, scope?: DatabaseScope): Promise<void> {
    if (this.outcome === 'rolledBack') return // a `catch` that takes back what an abort or a timeout already has
    await this.#scopesToSettle(what).rollbackNow(scope && [scope])
  }

  /** A statement that is not provably a read is run. */
  noteWrite (): void {
    this.#scopes?.noteWrite()
  }

  /** One of its transactions has begun. */
  onBegun (database: string): void {
    if (begun.hasSubscribers) begun.publish({ ...this.description, database } satisfies BegunEvent)
  }

  /** Resolves when nobody is committing or rolling back, unless the caller is part of that. */
  async untilSettled (): Promise<void> {
    await this.#scopes?.untilSettled()
  }

  /** Its transaction has gone back to a savepoint. */
  async wentBackTo (savepoint: Savepoint): Promise<void> {
    await this.#scopes?.wentBackTo(savepoint)
  }

  /** Nobody reads from it any more. When it has settled, it lets go of what it has. */
  protected close (): void {
    if (this.advance('close') && this.isReleased) this.#release()
  }

  /**
   * Lets go of the EntityManagers, which until then still read for a reply that is streamed: something that keeps the
   * context alive for long, like a timer, must not keep their entities as well.
   */
  #release (): void {
    for (const source of this.databases.all) {
      const own = this.#ownSettingsOf(source)
      if (own !== undefined) (this.#withOwnSettings ??= new Map()).set(source, own.fork({ disableContextResolution: true }))
    }
    for (const released of this.#scopes?.release() ?? []) this.databases.addUnfinished(released)
    this.#scopes = undefined
  }

  protected get isSettledByCaller (): boolean {
    return this.#scopes?.isSettledByCaller === true
  }

  #ownSettingsOf (source: OrmSource): EntityManager | undefined {
    const scope = this.#scopes?.scopeOf(source)
    return scope === undefined ? this.emOfParent(source) : scope.hasOwnSettings ? scope.em.getContext(false) : undefined
  }

  get #isReadOnly (): boolean {
    return (this.options as TransactionOptions).readOnly === true
  }

  #end (): void {
    this.#parent = undefined
    for (const { reads } of this.#scopes?.all ?? []) {
      if (reads !== undefined) this.databases.addUnfinished(reads)
    }
    this.onEnd()
  }

  #settle (scopes: DatabaseScopes, result: 'commit' | 'fail', error?: unknown): Promise<void> | void {
    this.advance(result)
    this.#end()
    scopes.tell(this, error)
    if (scopes.hooks.isEmpty) return this.#finish()
    return (result === 'commit' ? scopes.runAfterCommit() : scopes.runAfterRollback()).then(() => this.#finish())
  }

  #finish (): void {
    this.#running?.remove()
    this.#running = undefined
    this.advance('finish')
    if (this.isReleased) this.#release()
  }

  #scopesToSettle (what: string): DatabaseScopes {
    const scopes = this.use(what)
    this.assertOpen(what)
    scopes.assertCanSettle(what)
    return scopes
  }

  #scopeOf (source: OrmSource): DatabaseScope {
    const scopes = this.use('em()')
    const open = scopes.scopeOf(source)
    if (open !== undefined) return open

    const scope = new DatabaseScope(source, this, this.options as TransactionOptions, this.emOfParent(source))
    // Whoever comes after the end gets one that refuses writes, and always the same, or its flush would find nothing to
    // refuse. After the release it refuses reads too: filters and session contexts were set on the one that is gone.
    if (this.ending !== undefined) scope.close({ reads: !this.isReleased })
    scopes.add(scope)
    return scope
  }
}

/** The context that the caller runs in, if any. */
export function currentContext (): Context | undefined {
  return storage.getStore()
}

/** Ended ones are skipped: a chain of contexts that each begin in the one before must not grow for ever. */
function openParent (): Context | undefined {
  let context = storage.getStore()
  while (context?.ending !== undefined) context = context.parent
  return context
}

import { RequestContext, TransactionContext, type EntityManager, type MikroORM } from '@mikro-orm/core'
import { AsyncLocalStorage } from 'node:async_hooks'
import type { Dialect } from '../drivers/dialect.ts'
import type { Driver } from '../drivers/driver.ts'
import { FST_ORM_BAD_OPTION } from '../errors.ts'
import { outsideTransactions } from '../mikro-orm/internals.ts'
import type { HookOptions, TransactionOptions } from '../options/options.ts'
import type { OrmSource } from '../options/orm-source.ts'
import { Freshness, type FreshnessOwner, type Positions } from '../transaction/freshness.ts'
import type { Savepoint } from '../transaction/savepoint.ts'
import { show } from '../util/show.ts'
import type { CommitHook, HookKind } from './commit-hooks.ts'
import { DatabaseScope, type ScopeOwner } from './database-scope.ts'
import { hooksOfIndependentTransaction } from './independent-hooks.ts'
import { ObservedContext } from './observed-context.ts'

const storage = new AsyncLocalStorage<Context>()

/**
 * The boundary of one piece of work. It costs next to nothing until somebody asks it for an EntityManager; then it
 * opens a scope for that database.
 */
export abstract class Context extends ObservedContext implements ScopeOwner, FreshnessOwner {
  readonly #requestContextAround = RequestContext.currentRequestContext()
  /** The context that it was opened in, which may have ended, until this one is released. */
  #opener = storage.getStore()
  #parent = openParent(this.#opener)
  #freshness: Freshness | undefined
  #withOwnSettings: Map<OrmSource, EntityManager> | undefined

  /** Called when the context has ended. */
  protected abstract onEnd (): void

  /** The EntityManager of the parent, if this context is a branch of it. */
  protected abstract emOfParent (source: OrmSource): EntityManager | undefined

  /** Milliseconds after which a stream is ended that keeps a connection for a reader that does not read on. */
  abstract get streamTimeout (): number

  /** The context that it was opened in, as long as neither has ended. */
  get parent (): Context | undefined {
    return this.#parent
  }

  /** One for a context and its branches, also those that hooks after its commit open. Work that is left behind has one of its own. */
  get freshness (): Freshness {
    this.#freshness ??= this.#opener?.hasReaders === true ? this.#opener.freshness : new Freshness(this)
    return this.#freshness
  }

  get tracksPositions (): boolean {
    return this.databases.tokens.areMade
  }

  /** Stands for what was committed so far, for those who shall see it; `undefined` if that is nothing, or there are no tokens. */
  get token (): string | undefined {
    const positions = this.tracksPositions ? this.freshness.positions : undefined
    return positions && this.databases.tokens.make(positions)
  }

  /** Something may still read there: what it has written is to be seen here as well. */
  get hasReaders (): boolean {
    return !this.isReleased && this.outcome !== 'untouched' && this.options !== false
  }

  /** The token of what has to be seen here. */
  protected tokenToRead (): string | undefined {
    return undefined
  }

  get replicaWait (): number {
    return this.databases.tokens.wait
  }

  positionsToRead (): Positions | undefined {
    const token = this.tokenToRead()
    return token === undefined ? undefined : this.databases.tokens.read(token)
  }

  /** A commit here or in a branch has told where it is. */
  onPosition (): void {}

  /** For work that has failed because of others: what they have done may be on no replica yet, and it would fail again. */
  readFromPrimary (): void {
    this.freshness.needPrimary()
  }

  /** It takes the place of a context whose branches may have committed something that it has to see, and the client as well. */
  protected takeFreshness (before: Context): void {
    this.#freshness = before.freshness
    if (this.#freshness.owner === before) this.#freshness.owner = this
  }

  get isCurrent (): boolean {
    return storage.getStore() === this
  }

  /** The context that calls at the moment. */
  get caller (): Context | undefined {
    return storage.getStore()
  }

  /** Runs `callback`, and all that follows from it, inside the context. */
  run<T> (callback: () => T): T {
    return TransactionContext.currentTransactionContext() === undefined
      ? storage.run(this, callback)
      : storage.run(this, () => outsideTransactions(callback))
  }

  runOutermost<T> (callback: () => T): T {
    return this.isCurrent && TransactionContext.currentTransactionContext() === undefined ? callback() : this.run(callback)
  }

  /** The context's own EntityManager for the database of that name, by default the first. */
  entityManager (name?: string): EntityManager {
    return this.scope(name).em.getContext(false)
  }

  /** The context's own EntityManager, or that of a MikroORM `RequestContext` that was entered inside the context. */
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

  connectionsOf (driver: Driver): number {
    return this.scopes?.connectionsOf(driver) ?? 0
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

  /** Registers a hook with the transaction that the caller is in. Of one that does not `wait`, nobody awaits the end. */
  addHook (kind: HookKind, hook: CommitHook, { wait = true }: HookOptions = {}): void {
    const what = `${kind}()`
    const scopes = this.use(what)
    this.assertOpen(what)
    if (typeof hook !== 'function') throw new FST_ORM_BAD_OPTION(what, 'hook', 'a function', show(hook))
    const told = this.observing(kind, hook)
    const run = wait ? told : () => scopes.hooks.runUnawaited(told, error => scopes.reportHook(error, kind))
    const own = hooksOfIndependentTransaction(this)
    if (own !== undefined) own.add(kind, run)
    else scopes.hooks.add(kind, run, scopes.savepoints, scopes.turns.isCallers)
  }

  /** A statement is about to run in that transaction. Throws if it comes from an `atomic()` that has failed. */
  noteStatement (sql: string, dialect: Dialect, transaction: object): void {
    this.scopes?.atomics.noteStatement(sql, dialect, transaction)
  }

  /** What was written in that transaction is rolled back. */
  noteRollback (transaction: object): void {
    this.scopes?.atomics.noteRollback(transaction)
  }

  /** Resolves when nobody is committing or rolling back, unless the caller is part of that. */
  async untilSettled (): Promise<void> {
    await this.scopes?.turns.untilFree()
  }

  /** Its transaction has gone back to a savepoint. */
  async wentBackTo (savepoint: Savepoint): Promise<void> {
    await this.scopes?.wentBackTo(savepoint)
  }

  /** A stream was ended by its `streamTimeout`. */
  onStreamTimeout (error: Error): void {
    this.report(error, error.message)
  }

  /** Ends the wait of a commit for the first chunk of its reply, because its connection is needed. `undefined` if it does not wait. */
  hastenCommit (): Promise<void> | undefined {
    return undefined
  }

  protected override end (): void {
    this.#parent = undefined
    if (this.outcome === 'untouched') this.#opener = undefined
    super.end()
    this.onEnd()
  }

  protected override release (): void {
    for (const source of this.databases.all) {
      const own = this.#ownSettingsOf(source)
      if (own !== undefined) (this.#withOwnSettings ??= new Map()).set(source, own.fork({ disableContextResolution: true }))
    }
    super.release()
    this.#opener = undefined
  }

  #ownSettingsOf (source: OrmSource): EntityManager | undefined {
    const scope = this.scopes?.scopeOf(source)
    return scope === undefined ? this.emOfParent(source) : scope.hasOwnSettings ? scope.em.getContext(false) : undefined
  }

  #scopeOf (source: OrmSource): DatabaseScope {
    const scopes = this.use('em()')
    const open = scopes.scopeOf(source)
    if (open !== undefined) return open

    const scope = new DatabaseScope(source, this, this.options as TransactionOptions, this.emOfParent(source))
    // Whoever comes after the end gets one that refuses writes, and always the same, or its flush would find nothing to
    // refuse. After the release it refuses reads too: filters and session contexts were set on the one that is gone.
    if (this.ending !== undefined) scope.refuseWrites({ reads: !this.isReleased })
    scopes.add(scope)
    if (this.isReleased) scope.release() // nothing else will, and switchable() would keep the host before
    return scope
  }
}

/** The context that the caller runs in, if any. */
export function currentContext (): Context | undefined {
  return storage.getStore()
}

/** Ended ones are skipped: a chain of contexts that each begin in the one before must not grow for ever. */
function openParent (opener: Context | undefined): Context | undefined {
  let context = opener
  while (context?.ending !== undefined) context = context.parent
  return context
}

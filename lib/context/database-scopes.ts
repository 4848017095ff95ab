import type { EntityManager } from '@mikro-orm/core'
import type { FastifyBaseLogger } from 'fastify'
import { CommitHooks, runHooks, type HookKind, type RegisteredHook } from './commit-hooks.ts'
import type { Driver } from '../drivers/driver.ts'
import type { ContextDescription } from './events.ts'
import type { DatabaseSet } from './database-set.ts'
import { FST_ORM_TRANSACTION_FAILED, FST_ORM_TRANSACTION_OPEN, partialCommit } from '../errors.ts'
import type { OrmSource } from '../options/orm-source.ts'
import { tellOfSettlement } from './settled-events.ts'
import type { Ending, Settlement } from './settlement.ts'
import { AsyncNesting } from '../util/async-nesting.ts'
import { hooksOfIndependentTransaction } from './independent-hooks.ts'
import { untilPromisesHaveRun } from '../util/ticks.ts'
import type { Savepoint } from '../transaction/savepoint.ts'
import { Mutex } from '../util/mutex.ts'
import type { DatabaseScope } from './database-scope.ts'

/** What the caller commits or rolls back. */
const settling = new AsyncNesting<DatabaseScopes>()
/** The contexts whose `atomic()` the caller runs in. */
export const runningAtomic: AsyncNesting<object> = new AsyncNesting()

interface Settling {
  /** Nothing begins after it. */
  last: boolean
}

/** The context that they belong to. */
export interface ScopesOwner {
  readonly name: string
  readonly databases: DatabaseSet
  readonly ending: Ending | undefined
  readonly log: FastifyBaseLogger | undefined
  readonly warnHeldMs: number
  readonly description: ContextDescription
  /** Called before each commit of a database that has something to commit. */
  readonly beforeCommit: ((em: EntityManager) => unknown) | undefined
  runOutermost<T> (callback: () => T): T
  assertOpen (what: string): void
  report (error: unknown, message: string): void
}

/** What a context in use has: the scopes of its databases, which are flushed, committed and rolled back together, and its hooks. */
export class DatabaseScopes {
  readonly hooks: CommitHooks = new CommitHooks()
  /** The last commit has found something to do, which is done. */
  hasCommitted = false
  /** For `atomic()`, one after the other. */
  readonly atomics: Mutex = new Mutex()
  readonly #owner: ScopesOwner
  readonly #scopes: DatabaseScope[] = []
  readonly #openedAt = performance.now()
  #settling: Promise<unknown> | undefined
  #lastSettling: Promise<unknown> | undefined
  #hasWritesBesideAtomic = false
  /** What was lost without anybody being told. */
  #lost: Error | undefined

  constructor (owner: ScopesOwner) {
    this.#owner = owner
  }

  get all (): readonly DatabaseScope[] {
    return this.#scopes
  }

  /** Has begun a transaction, which nothing has ended yet. */
  get hasTransaction (): boolean {
    return this.#scopes.some(scope => scope.hasTransaction)
  }

  get hasPendingChanges (): boolean {
    return this.#scopes.some(scope => scope.hasPendingChanges)
  }

  /** Where the caller is: the innermost `em.transactional()` of each database that has one. */
  get savepoints (): Savepoint[] {
    return this.#scopes.flatMap(scope => scope.savepoint ?? [])
  }

  scopeOf (source: OrmSource): DatabaseScope | undefined {
    return this.#scopes.find(scope => scope.source === source)
  }

  /** In the order in which the databases were registered, whichever is used first: an outbox depends on it. */
  add (scope: DatabaseScope): void {
    const { databases } = this.#owner
    const index = this.#scopes.findIndex(({ source }) => databases.indexOf(source) > databases.indexOf(scope.source))
    this.#scopes.splice(index === -1 ? this.#scopes.length : index, 0, scope)
  }

  connectionsOf (driver: Driver): number {
    return this.#scopes.reduce((sum, scope) => sum + scope.connectionsOf(driver), 0)
  }

  /** Flushes these scopes, by default all, so that generated ids and defaults are known. `undefined` if there is nothing to flush. */
  flush (scopes: readonly DatabaseScope[] = this.#scopes): Promise<void> | undefined {
    return scopes.some(scope => scope.needsFlush) ? this.#flushAll(scopes) : undefined
  }

  /**
   * All that a commit is preceded by: flushes, and what runs before a commit, whose changes are flushed in turn. It may
   * be overtaken by an ending of the context. `undefined` if there is nothing to do.
   */
  prepareCommit (scopes: readonly DatabaseScope[] = this.#scopes): Promise<void> | undefined {
    const hasNobodyToAsk = this.#lost === undefined && this.hooks.isEmpty && this.#owner.beforeCommit === undefined
    return hasNobodyToAsk && !scopes.some(scope => scope.needsFlush || scope.owesFlush) ? undefined : this.#prepareCommit(scopes)
  }

  async #prepareCommit (scopes: readonly DatabaseScope[]): Promise<void> {
    if (this.#lost !== undefined) throw new FST_ORM_TRANSACTION_FAILED(this.#owner.name, 'atomic()', { cause: this.#lost })
    const announced = new Set<DatabaseScope>()
    do {
      await this.flush(scopes)
      if (this.#owner.ending !== undefined) return
    } while (await this.#runBeforeCommit(scopes, announced) || await this.#flushOwed(scopes))
  }

  /** Resolves with whether anything has run that may have changed something. */
  async #runBeforeCommit (scopes: readonly DatabaseScope[], announced: Set<DatabaseScope>): Promise<boolean> {
    const { beforeCommit } = this.#owner
    let hasRun = !this.hooks.isEmpty && this.#isAll(scopes) && await this.#owner.runOutermost(() => this.hooks.runBeforeCommit())
    if (beforeCommit === undefined) return hasRun
    for (const scope of scopes) {
      if (!scope.hasTransaction || announced.has(scope)) continue
      announced.add(scope)
      hasRun = true
      await this.#owner.runOutermost(() => beforeCommit(scope.em))
    }
    return hasRun
  }

  /** The same of subscribers to flushes, which get their chance when there was nothing to flush. */
  async #flushOwed (scopes: readonly DatabaseScope[]): Promise<boolean> {
    const owing = scopes.filter(scope => scope.owesFlush)
    for (const scope of owing) await scope.flushNow()
    return owing.length > 0
  }

  /**
   * Commits one database after the other. When one fails, the rest is rolled back, and the error thrown; hooks stay only
   * if everything is rolled back for certain.
   */
  async commit ({ last }: Settling, scopes: readonly DatabaseScope[] = this.#scopes): Promise<void> {
    const committed: DatabaseScope[] = []
    try {
      for (const scope of scopes) {
        if (await scope.commit({ last })) committed.push(scope)
      }
    } catch (error) {
      await Promise.all(scopes.map(scope => scope.rollback({ last })))
      if (committed.length > 0 || scopes.some(scope => scope.isInDoubt)) this.hooks.clear()
      if (committed.length === 0) throw error
      const rest = scopes.filter(scope => !committed.includes(scope))
      throw partialCommit(this.#owner.name, committed.map(scope => scope.name), rest.map(scope => scope.name), error)
    }
    this.hasCommitted = last && committed.length > 0
  }

  /** Somebody writes, perhaps beside an `atomic()` that is running. */
  noteWrite (): void {
    if (this.atomics.isLocked && !runningAtomic.has(this.#owner)) this.#hasWritesBesideAtomic = true
  }

  /** An `atomic()` has been rolled back: what was written beside it is gone too, and nobody knows. */
  async rollBackAtomic (): Promise<void> {
    const takesAlong = this.#hasWritesBesideAtomic
    await this.rollbackNow()
    if (takesAlong) this.#lost = new Error('an atomic() was rolled back, and took along what was written beside it. Give parallel work a context of its own: runInContext()')
  }

  /** Commits by hand, and goes on. What fails has been rolled back, with a clean EntityManager to go on with. */
  async commitNow (scopes: readonly DatabaseScope[] = this.#scopes): Promise<void> {
    let hooks: RegisteredHook[] = []
    let kind: HookKind = 'afterCommit'
    try {
      await this.inTurn(async () => {
        try {
          this.assertNoSavepoint('a commit')
          await this.prepareCommit(scopes)
          this.#owner.assertOpen('commit()')
          this.assertNoSavepoint('a commit')
          await this.commit({ last: false }, scopes)
        } catch (error) {
          kind = 'afterRollback'
          if (this.#owner.ending === undefined) hooks = await this.#rollBack(scopes)
          throw error
        }
        this.#hasWritesBesideAtomic = false
        if (this.#isAll(scopes)) hooks = this.hooks.takeAll()
      })
    } finally {
      await this.#run(kind, hooks)
    }
  }

  /** Rolls back by hand, and goes on with a clean EntityManager. */
  async rollbackNow (scopes: readonly DatabaseScope[] = this.#scopes): Promise<void> {
    await this.#run('afterRollback', await this.inTurn(() => this.#rollBack(scopes)))
  }

  /**
   * Commits and rollbacks follow one another. Whoever has waited for one that fails, fails with it: what was to be
   * committed is gone.
   */
  async inTurn<T> (settle: () => Promise<T>): Promise<T> {
    const before = this.#settling
    const run = (): Promise<T> => settling.run(this, settle)
    const mine = before === undefined ? run() : before.then(run)
    this.#settling = this.#lastSettling = mine
    try {
      return await mine
    } finally {
      if (this.#settling === mine) this.#settling = undefined
    }
  }

  /** Has only read, and a commit would find nothing to do or to wait for. */
  get isIdle (): boolean {
    return !this.isSettling && !this.atomics.isLocked && this.hooks.isEmpty && this.#lost === undefined &&
      this.#scopes.every(scope => scope.isIdle)
  }

  /**
   * Lets go of the scopes: what was started inside a commit may live for long, such as pg's timer for a connection that is idle.
   * Gives what has to be waited for until their connections are back.
   */
  release (): Array<Promise<void>> {
    return this.#scopes.splice(0).flatMap(scope => scope.release() ?? [])
  }

  /** Refuses writes from now on: for one that is idle, this is the last commit. */
  close (): void {
    for (const scope of this.#scopes) scope.closeIdle()
  }

  /** The caller is part of a commit or rollback. */
  get isSettledByCaller (): boolean {
    return this.isSettling && settling.has(this)
  }

  /** Somebody is committing or rolling back. */
  get isSettling (): boolean {
    return this.#settling !== undefined
  }

  /**
   * Before the last commit: a statement that nobody has awaited may still be on its way to the database. Resolves when
   * whoever can go on without waiting for anything has done so, and rejects with a commit that has failed meanwhile.
   */
  untilOthersHaveRun (): Promise<unknown> | undefined {
    if (this.isSettling) return undefined
    const before = this.#lastSettling
    return untilPromisesHaveRun(() => this.#lastSettling === before ? undefined : this.#lastSettling)
  }

  /** Resolves when nobody is committing or rolling back, unless the caller is part of that. */
  async untilSettled (): Promise<void> {
    if (!settling.has(this)) await this.#settling?.catch(() => {})
  }

  async runAfterCommit (): Promise<void> {
    await this.#run('afterCommit', this.hooks.takeAll())
  }

  async runAfterRollback (): Promise<void> {
    await this.#run('afterRollback', this.hooks.takeAll())
  }

  async wentBackTo (savepoint: Savepoint): Promise<void> {
    await this.hooks.rollbackTo(savepoint, error => this.#report(error, 'afterRollback'))
  }

  /** Tells subscribers and the log what has become of the context. */
  tell (settlement: Settlement, error?: unknown): void {
    tellOfSettlement(this.#owner, this.#scopes, settlement, this.#openedAt, error)
  }

  /** Whoever ends the transaction from within, or from beside, an `em.transactional()` or `atomic()` ends that as well. */
  assertCanSettle (what: string): void {
    this.assertNotSettling(what)
    if (hooksOfIndependentTransaction(this.#owner) !== undefined) this.#refuse(what, 'a transaction from within another one')
    if (this.atomics.isLocked) this.#refuse(what, 'atomic(), which has not returned')
    this.assertNoSavepoint(what)
  }

  assertNoSavepoint (what: string): void {
    if (this.#scopes.some(scope => scope.hasOpenSavepoint)) this.#refuse(what, 'em.transactional(), which has not returned')
  }

  /** A hook before the commit would wait for itself. */
  assertNotSettling (what: string): void {
    if (this.isSettledByCaller) this.#refuse(what, 'the commit that it is called in')
  }

  /** For the last commit: nothing is committed in half. (A reply from inside commits what there is so far.) */
  assertComplete (): void {
    if (this.atomics.isLocked && !runningAtomic.has(this.#owner)) this.#refuse('the reply or return', 'atomic(), which nobody has awaited')
    if (this.#scopes.some(scope => scope.hasSavepointBeside)) this.#refuse('the reply or return', 'em.transactional(), which nobody has awaited')
  }

  #refuse (what: string, transaction: string): never {
    throw new FST_ORM_TRANSACTION_OPEN(this.#owner.name, `${what} would end ${transaction}`, 'Return from it, which commits, or throw, which rolls back; give parallel work a context of its own: runInContext()')
  }

  /** Until nothing is left: a subscriber to the flush of one database may change what is in another. */
  async #flushAll (scopes: readonly DatabaseScope[]): Promise<void> {
    if (scopes.length === 1) await scopes[0]!.flush()
    if (scopes.length === 1) return // and no subscriber has used another database meanwhile
    const count = (): number => scopes.reduce((sum, scope) => sum + scope.statements + 1, 0) // of statements and scopes
    for (let before = -1; before !== count();) {
      before = count()
      for (const scope of [...scopes]) if (scope.needsFlush) await scope.flush()
    }
  }

  /** Nothing would be left uncommitted: hooks wait for all of the context. */
  #isAll (scopes: readonly DatabaseScope[]): boolean {
    return this.#scopes.every(scope => scopes.includes(scope) || !(scope.hasTransaction || scope.hasPendingChanges))
  }

  /** Rolls back, and gives the hooks that wait for that. */
  async #rollBack (scopes: readonly DatabaseScope[]): Promise<RegisteredHook[]> {
    this.#lost = undefined
    this.#hasWritesBesideAtomic = false
    await Promise.all(scopes.map(async scope => {
      await scope.rollback({ last: false })
      scope.em.clear()
    }))
    return this.#isAll(scopes) ? this.hooks.takeAll() : []
  }

  async #run (kind: HookKind, hooks: RegisteredHook[]): Promise<void> {
    if (hooks.length > 0) await this.#owner.runOutermost(() => runHooks(kind, hooks, error => this.#report(error, kind)))
  }

  #report (error: unknown, kind: string): void {
    this.#owner.report(error, `${this.#owner.name}: an ${kind} hook has failed`)
  }
}

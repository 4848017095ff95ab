import type { EntityManager } from '@mikro-orm/core'
import type { Driver } from '../drivers/driver.ts'
import { partialCommit } from '../errors.ts'
import type { OrmSource } from '../options/orm-source.ts'
import type { Savepoint } from '../transaction/savepoint.ts'
import { AtomicWork } from './atomic-work.ts'
import { CommitHooks, runHooks, type HookKind, type RegisteredHook } from './commit-hooks.ts'
import type { DatabaseScope } from './database-scope.ts'
import type { DatabaseSet } from './database-set.ts'
import { tellOfSettlement, type SettledContext } from './settled-events.ts'
import type { Ending, Settlement } from './settlement.ts'
import { assertNoSavepoint } from './settling-rules.ts'
import { SettlingTurns } from './settling-turns.ts'

/** The context that they belong to. */
export interface ScopesOwner extends SettledContext {
  readonly databases: DatabaseSet
  readonly ending: Ending | undefined
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
  readonly atomics: AtomicWork
  /** Commits and rollbacks take turns here. */
  readonly turns: SettlingTurns = new SettlingTurns()
  readonly owner: ScopesOwner
  readonly all: DatabaseScope[] = []
  readonly #openedAt = performance.now()

  constructor (owner: ScopesOwner) {
    this.owner = owner
    this.atomics = new AtomicWork(owner)
  }

  /** Has begun a transaction, which nothing has ended yet. */
  get hasTransaction (): boolean {
    return this.all.some(scope => scope.transaction.isOpen)
  }

  get hasPendingChanges (): boolean {
    return this.all.some(scope => scope.hasPendingChanges)
  }

  /** Where the caller is: the innermost `em.transactional()` of each database that has one. */
  get savepoints (): Savepoint[] {
    return this.all.flatMap(scope => scope.savepoint ?? [])
  }

  scopeOf (source: OrmSource): DatabaseScope | undefined {
    return this.all.find(scope => scope.source === source)
  }

  /** In the order in which the databases were registered, whichever is used first: an outbox depends on it. */
  add (scope: DatabaseScope): void {
    const { databases } = this.owner
    const index = this.all.findIndex(({ source }) => databases.indexOf(source) > databases.indexOf(scope.source))
    this.all.splice(index === -1 ? this.all.length : index, 0, scope)
  }

  connectionsOf (driver: Driver): number {
    return this.all.reduce((sum, scope) => sum + scope.connectionsOf(driver), 0)
  }

  /** Flushes these scopes, by default all, so that generated ids and defaults are known. `undefined` if there is nothing to flush. */
  flush (scopes: readonly DatabaseScope[] = this.all): Promise<void> | undefined {
    return scopes.some(scope => scope.needsFlush) ? this.#flushAll(scopes) : undefined
  }

  /**
   * All that a commit is preceded by: flushes, and what runs before a commit, whose changes are flushed in turn. It may
   * be overtaken by an ending of the context. `undefined` if there is nothing to do.
   */
  prepareCommit (scopes: readonly DatabaseScope[] = this.all): Promise<void> | undefined {
    const hasNobodyToAsk = !this.atomics.hasLost && this.hooks.isEmpty && this.owner.beforeCommit === undefined
    return hasNobodyToAsk && !scopes.some(scope => scope.needsFlush || scope.owesFlush) ? undefined : this.#prepareCommit(scopes)
  }

  async #prepareCommit (scopes: readonly DatabaseScope[]): Promise<void> {
    this.atomics.assertNothingLost()
    const announced = new Set<DatabaseScope>()
    do {
      await this.flush(scopes)
      if (this.owner.ending !== undefined) return
    } while (await this.#runBeforeCommit(scopes, announced) || await this.#flushOwed(scopes))
  }

  /** Resolves with whether anything has run that may have changed something. */
  async #runBeforeCommit (scopes: readonly DatabaseScope[], announced: Set<DatabaseScope>): Promise<boolean> {
    const { beforeCommit } = this.owner
    let hasRun = !this.hooks.isEmpty && this.#isAll(scopes) && await this.owner.runOutermost(() => this.hooks.runBeforeCommit())
    if (beforeCommit === undefined) return hasRun
    for (const scope of scopes) {
      if (!scope.transaction.isOpen || announced.has(scope)) continue
      announced.add(scope)
      hasRun = true
      await this.owner.runOutermost(() => beforeCommit(scope.em))
    }
    return hasRun
  }

  /** Lets subscribers to flushes run where there was nothing to flush. Resolves with whether any had to. */
  async #flushOwed (scopes: readonly DatabaseScope[]): Promise<boolean> {
    const owing = scopes.filter(scope => scope.owesFlush)
    for (const scope of owing) await scope.flushNow()
    return owing.length > 0
  }

  /**
   * Commits one database after the other, after the `last` time for good. When one fails, the rest is rolled back, and the error thrown; hooks stay only
   * if everything is rolled back for certain.
   */
  async commit ({ last }: { last: boolean }, scopes: readonly DatabaseScope[] = this.all): Promise<void> {
    const committed: DatabaseScope[] = []
    try {
      for (const scope of scopes) {
        if (await scope.commit({ last })) committed.push(scope)
      }
    } catch (error) {
      await Promise.all(scopes.map(scope => scope.rollback({ last })))
      if (committed.length > 0 || scopes.some(scope => scope.transaction.isInDoubt)) this.hooks.clear()
      if (committed.length === 0) throw error
      const rest = scopes.filter(scope => !committed.includes(scope))
      throw partialCommit(this.owner.name, committed.map(scope => scope.name), rest.map(scope => scope.name), error)
    }
    this.hasCommitted = last && committed.length > 0
  }

  /** Commits by hand, and goes on. What fails has been rolled back, with a clean EntityManager to go on with. */
  async commitNow (scopes: readonly DatabaseScope[] = this.all): Promise<void> {
    let hooks: RegisteredHook[] = []
    let kind: HookKind = 'afterCommit'
    try {
      await this.turns.run(async () => {
        try {
          assertNoSavepoint(this, 'a commit')
          await this.prepareCommit(scopes)
          this.owner.assertOpen('commit()')
          assertNoSavepoint(this, 'a commit')
          const hooksBefore = this.hooks.count
          await this.commit({ last: false }, scopes)
          if (this.#isAll(scopes)) hooks = this.hooks.takeThoseOfCommit(hooksBefore)
        } catch (error) {
          kind = 'afterRollback'
          if (this.owner.ending === undefined) hooks = await this.#rollBack(scopes)
          throw error
        }
      })
    } finally {
      await this.runHooks(kind, hooks)
    }
  }

  /** Rolls back by hand, and goes on with a clean EntityManager. */
  async rollbackNow (scopes: readonly DatabaseScope[] = this.all): Promise<void> {
    await this.runHooks('afterRollback', await this.turns.run(() => this.#rollBack(scopes)))
  }

  /** Has only read, and a commit would find nothing to do or to wait for. */
  get isIdle (): boolean {
    return !this.turns.isTaken && !this.atomics.isLocked && this.hooks.isEmpty && !this.atomics.hasLost &&
      this.all.every(scope => scope.isIdle)
  }

  /**
   * Lets go of the scopes: what was started inside a commit may live for long, such as pg's timer for a connection that is idle.
   * Gives what has to be waited for until their connections are back.
   */
  release (): Array<Promise<void>> {
    return this.all.splice(0).flatMap(scope => scope.release() ?? [])
  }

  /** Refuses writes from now on: for one that is idle, this is the last commit. */
  closeIdle (): void {
    for (const scope of this.all) scope.closeIdle()
  }

  async wentBackTo (savepoint: Savepoint): Promise<void> {
    await this.hooks.rollbackTo(savepoint, error => this.reportHook(error, 'afterRollback'))
  }

  /** Tells subscribers and the log what has become of the context. */
  tell (settlement: Settlement, error?: unknown): void {
    tellOfSettlement(this.owner, this.all, settlement, this.#openedAt, error)
  }

  /** Until nothing is left: a subscriber to the flush of one database may change what is in another. */
  async #flushAll (scopes: readonly DatabaseScope[]): Promise<void> {
    if (scopes.length === 1) await scopes[0]!.flush()
    if (scopes.length === 1) return // and no subscriber has used another database meanwhile
    const count = (): number => scopes.reduce((sum, scope) => sum + scope.transaction.statistics.statements + 1, 0) // of statements and scopes
    for (let before = -1; before !== count();) {
      before = count()
      for (const scope of [...scopes]) if (scope.needsFlush) await scope.flush()
    }
  }

  /** Nothing would be left uncommitted: hooks wait for all of the context. */
  #isAll (scopes: readonly DatabaseScope[]): boolean {
    return this.all.every(scope => scopes.includes(scope) || !(scope.transaction.isOpen || scope.hasPendingChanges))
  }

  /** Rolls back, and gives the hooks that wait for that. */
  async #rollBack (scopes: readonly DatabaseScope[]): Promise<RegisteredHook[]> {
    await Promise.all(scopes.map(async scope => {
      await scope.rollback({ last: false })
      scope.em.clear()
    }))
    this.atomics.noteRollbackByHand()
    return this.#isAll(scopes) ? this.hooks.takeAll() : []
  }

  /** Runs these hooks of that kind, by default all. */
  async runHooks (kind: HookKind, hooks: RegisteredHook[] = this.hooks.takeAll()): Promise<void> {
    if (hooks.length > 0) await this.owner.runOutermost(() => runHooks(kind, hooks, error => this.reportHook(error, kind)))
  }

  reportHook (error: unknown, kind: HookKind): void {
    this.owner.report(error, `${this.owner.name}: an ${kind} hook has failed`)
  }
}

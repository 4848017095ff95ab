import type { AbstractSqlConnection } from '@mikro-orm/sql'
import type { FastifyBaseLogger } from 'fastify'
import { CommitHooks, runHooks, type HookKind, type RegisteredHook } from './commit-hooks.ts'
import type { Context } from './context.ts'
import { settled, type SettledEvent } from './events.ts'
import { FST_ORM_TRANSACTION_FAILED, FST_ORM_TRANSACTION_OPEN, partialCommit } from '../errors.ts'
import type { OrmSource } from '../options/orm-source.ts'
import type { Ending, Outcome } from './outcome.ts'
import { Inside } from '../util/async-nesting.ts'
import { hooksOfOwnTransaction } from './independent-hooks.ts'
import { untilPromisesHaveRun } from '../util/ticks.ts'
import type { Savepoint } from '../transaction/savepoint.ts'
import { Turns } from '../util/mutex.ts'
import type { UnitOfWork } from './database-scope.ts'

/** What the caller commits or rolls back. */
const settling = new Inside<Work>()
/** The contexts whose `atomic()` the caller runs in. */
export const runningAtomic: Inside<Context> = new Inside()

interface Settling {
  /** Nothing begins after it. */
  last: boolean
}

/** What a context in use has: its units of work, which are flushed, committed and rolled back together, and its hooks. */
export class Work {
  readonly hooks: CommitHooks = new CommitHooks()
  /** The last commit has found something to do, which is done. */
  hasCommitted = false
  /** For `atomic()`, one after the other. */
  readonly atomics: Turns = new Turns()
  readonly #owner: Context
  readonly #units: UnitOfWork[] = []
  readonly #openedAt = performance.now()
  #settling: Promise<unknown> | undefined
  #lastSettling: Promise<unknown> | undefined
  #hasWritesBesideAtomic = false
  /** What was lost without anybody being told. */
  #lost: Error | undefined

  constructor (owner: Context) {
    this.#owner = owner
  }

  get units (): readonly UnitOfWork[] {
    return this.#units
  }

  /** Has begun a transaction, which nothing has ended yet. */
  get hasBegun (): boolean {
    return this.#units.some(unit => unit.hasBegun)
  }

  get hasPendingChanges (): boolean {
    return this.#units.some(unit => unit.hasPendingChanges)
  }

  /** Where the caller is: the innermost `em.transactional()` of each database that has one. */
  get savepoints (): Savepoint[] {
    return this.#units.flatMap(unit => unit.savepoint ?? [])
  }

  unitOf (source: OrmSource): UnitOfWork | undefined {
    return this.#units.find(unit => unit.source === source)
  }

  /** In the order in which the databases were registered, whichever is used first: an outbox depends on it. */
  add (unit: UnitOfWork): void {
    const { databases } = this.#owner
    const index = this.#units.findIndex(({ source }) => databases.indexOf(source) > databases.indexOf(unit.source))
    this.#units.splice(index === -1 ? this.#units.length : index, 0, unit)
  }

  connectionsOf (pool: AbstractSqlConnection): number {
    return this.#units.reduce((sum, unit) => sum + unit.connectionsOf(pool), 0)
  }

  /** Flushes these units of work, by default every one, so that generated ids and defaults are known. `undefined` if there is nothing to flush. */
  flush (units: readonly UnitOfWork[] = this.#units): Promise<void> | undefined {
    return units.some(unit => unit.needsFlush) ? this.#flushAll(units) : undefined
  }

  /**
   * All that a commit is preceded by: flushes, and what runs before a commit, whose changes are flushed in turn. It may
   * be overtaken by an ending of the context. `undefined` if there is nothing to do.
   */
  prepareCommit (units: readonly UnitOfWork[] = this.#units): Promise<void> | undefined {
    const hasNobodyToAsk = this.#lost === undefined && this.hooks.isEmpty && this.#owner.beforeCommit === undefined
    return hasNobodyToAsk && !units.some(unit => unit.needsFlush || unit.owesFlush) ? undefined : this.#prepareCommit(units)
  }

  async #prepareCommit (units: readonly UnitOfWork[]): Promise<void> {
    if (this.#lost !== undefined) throw new FST_ORM_TRANSACTION_FAILED(this.#owner.name, 'atomic()', { cause: this.#lost })
    const announced = new Set<UnitOfWork>()
    do {
      await this.flush(units)
      if (this.#owner.ending !== undefined) return
    } while (await this.#runBeforeCommit(units, announced) || await this.#flushOwed(units))
  }

  /** Resolves with whether anything has run that may have changed something. */
  async #runBeforeCommit (units: readonly UnitOfWork[], announced: Set<UnitOfWork>): Promise<boolean> {
    const { beforeCommit } = this.#owner
    let hasRun = !this.hooks.isEmpty && this.#isAll(units) && await this.#owner.runOutermost(() => this.hooks.runBeforeCommit())
    if (beforeCommit === undefined) return hasRun
    for (const unit of units) {
      if (!unit.hasBegun || announced.has(unit)) continue
      announced.add(unit)
      hasRun = true
      await this.#owner.runOutermost(() => beforeCommit(unit.em))
    }
    return hasRun
  }

  /** The same of subscribers to flushes, which get their chance when there was nothing to flush. */
  async #flushOwed (units: readonly UnitOfWork[]): Promise<boolean> {
    const owing = units.filter(unit => unit.owesFlush)
    for (const unit of owing) await unit.flushNow()
    return owing.length > 0
  }

  /**
   * Commits one database after the other. When one fails, the rest is rolled back, and the error thrown; hooks stay only
   * if everything is rolled back for certain.
   */
  async commit ({ last }: Settling, units: readonly UnitOfWork[] = this.#units): Promise<void> {
    const committed: UnitOfWork[] = []
    try {
      for (const unit of units) {
        if (await unit.commit({ last })) committed.push(unit)
      }
    } catch (error) {
      await Promise.all(units.map(unit => unit.rollback({ last })))
      if (committed.length > 0 || units.some(unit => unit.isInDoubt)) this.hooks.clear()
      if (committed.length === 0) throw error
      const rest = units.filter(unit => !committed.includes(unit))
      throw partialCommit(this.#owner.name, committed.map(unit => unit.name), rest.map(unit => unit.name), error)
    }
    this.hasCommitted = last && committed.length > 0
  }

  /** Somebody writes, perhaps beside an `atomic()` that is running. */
  noteWrite (): void {
    if (this.atomics.isTaken && !runningAtomic.has(this.#owner)) this.#hasWritesBesideAtomic = true
  }

  /** An `atomic()` has been rolled back: what was written beside it is gone too, and nobody knows. */
  async rollBackAtomic (): Promise<void> {
    const takesAlong = this.#hasWritesBesideAtomic
    await this.rollbackNow()
    if (takesAlong) this.#lost = new Error('an atomic() was rolled back, and took along what was written beside it. Give parallel work a context of its own: runInContext()')
  }

  /** Commits by hand, and goes on. What fails has been rolled back, with a clean EntityManager to go on with. */
  async commitNow (units: readonly UnitOfWork[] = this.#units): Promise<void> {
    let hooks: RegisteredHook[] = []
    let kind: HookKind = 'afterCommit'
    try {
      await this.inTurn(async () => {
        try {
          this.assertNoSavepoint('a commit')
          await this.prepareCommit(units)
          this.#owner.assertOpen('commit()')
          this.assertNoSavepoint('a commit')
          await this.commit({ last: false }, units)
        } catch (error) {
          kind = 'afterRollback'
          if (this.#owner.ending === undefined) hooks = await this.#rollBack(units)
          throw error
        }
        this.#hasWritesBesideAtomic = false
        if (this.#isAll(units)) hooks = this.hooks.takeAll()
      })
    } finally {
      await this.#run(kind, hooks)
    }
  }

  /** Rolls back by hand, and goes on with a clean EntityManager. */
  async rollbackNow (units: readonly UnitOfWork[] = this.#units): Promise<void> {
    await this.#run('afterRollback', await this.inTurn(() => this.#rollBack(units)))
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
    return !this.isSettling && !this.atomics.isTaken && this.hooks.isEmpty && this.#lost === undefined &&
      this.#units.every(unit => unit.isIdle)
  }

  /** Refuses writes from now on: for one that is idle, this is the last commit. */
  close (): void {
    for (const unit of this.#units) unit.closeIdle()
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
  tell (ending: Ending, outcome: Outcome, error?: unknown): void {
    const { log, warnHeldMs } = this.#owner
    const isPublished = settled.hasSubscribers || logsDebug(log)
    for (const unit of this.#units) {
      const { held } = unit
      if (held <= warnHeldMs && !isPublished) continue
      const { name } = this.#owner
      if (held > warnHeldMs) log?.warn(`${name} has held a connection to "${unit.name}" for ${Math.round(held)} ms by its transaction. Do what is slow before the first write, or after commit()`)
      if (!isPublished) continue
      const event: SettledEvent = {
        ...this.#owner.description, database: unit.name, outcome, ending, error, duration: performance.now() - this.#openedAt, ...unit.statistics
      }
      settled.publish(event)
      const { error: err, ...rest } = event
      log?.debug({ ...rest, err }, `${name} has settled`)
    }
  }

  /** Whoever ends the transaction from within, or from beside, an `em.transactional()` or `atomic()` ends that as well. */
  assertCanSettle (what: string): void {
    this.assertNotSettling(what)
    if (hooksOfOwnTransaction(this.#owner) !== undefined) this.#refuse(what, 'a transaction from within another one')
    if (this.atomics.isTaken) this.#refuse(what, 'atomic(), which has not returned')
    this.assertNoSavepoint(what)
  }

  assertNoSavepoint (what: string): void {
    if (this.#units.some(unit => unit.hasOpenSavepoint)) this.#refuse(what, 'em.transactional(), which has not returned')
  }

  /** A hook before the commit would wait for itself. */
  assertNotSettling (what: string): void {
    if (this.isSettledByCaller) this.#refuse(what, 'the commit that it is called in')
  }

  /** For the last commit: nothing is committed in half. (A reply from inside commits what there is so far.) */
  assertComplete (): void {
    if (this.atomics.isTaken && !runningAtomic.has(this.#owner)) this.#refuse('the reply or return', 'atomic(), which nobody has awaited')
    if (this.#units.some(unit => unit.hasSavepointBeside)) this.#refuse('the reply or return', 'em.transactional(), which nobody has awaited')
  }

  #refuse (what: string, transaction: string): never {
    throw new FST_ORM_TRANSACTION_OPEN(this.#owner.name, `${what} would end ${transaction}`, 'Return from it, which commits, or throw, which rolls back; give parallel work a context of its own: runInContext()')
  }

  /** Until nothing is left: a subscriber to the flush of one database may change what is in another. */
  async #flushAll (units: readonly UnitOfWork[]): Promise<void> {
    if (units.length === 1) await units[0]!.flush()
    if (units.length === 1) return // and no subscriber has used another database meanwhile
    const count = (): number => units.reduce((sum, unit) => sum + unit.statements + 1, 0) // of statements and units of work
    for (let before = -1; before !== count();) {
      before = count()
      for (const unit of [...units]) if (unit.needsFlush) await unit.flush()
    }
  }

  /** Nothing would be left uncommitted: hooks wait for all of the context. */
  #isAll (units: readonly UnitOfWork[]): boolean {
    return this.#units.every(unit => units.includes(unit) || !(unit.hasBegun || unit.hasPendingChanges))
  }

  /** Rolls back, and gives the hooks that wait for that. */
  async #rollBack (units: readonly UnitOfWork[]): Promise<RegisteredHook[]> {
    this.#lost = undefined
    this.#hasWritesBesideAtomic = false
    await Promise.all(units.map(async unit => {
      await unit.rollback({ last: false })
      unit.em.clear()
    }))
    return this.#isAll(units) ? this.hooks.takeAll() : []
  }

  async #run (kind: HookKind, hooks: RegisteredHook[]): Promise<void> {
    if (hooks.length > 0) await this.#owner.runOutermost(() => runHooks(kind, hooks, error => this.#report(error, kind)))
  }

  #report (error: unknown, kind: string): void {
    this.#owner.report(error, `${this.#owner.name}: an ${kind} hook has failed`)
  }
}

function logsDebug (log: FastifyBaseLogger | undefined): boolean {
  return log !== undefined && (log.level === 'debug' || log.level === 'trace')
}

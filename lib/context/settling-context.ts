import type { EntityManager } from '@mikro-orm/core'
import type { FastifyBaseLogger } from 'fastify'
import { FST_ORM_CONTEXT_ENDED, FST_ORM_NO_CONTEXT } from '../errors.ts'
import type { TransactionOptions } from '../options/options.ts'
import type { ContextDescription } from './context-description.ts'
import type { ContextView } from './context-view.ts'
import type { Attempts } from './attempts.ts'
import { DatabaseScopes, type ScopesOwner } from './database-scopes.ts'
import type { DatabaseSet } from './database-set.ts'
import { failed, type FailedEvent } from './events.ts'
import { RunningContext, type RunnableContext } from './running-contexts.ts'
import { currentSandbox, type SandboxOfContexts } from './sandboxes.ts'
import { Settlement, type Ending } from './settlement.ts'
import { assertComplete } from './settling-rules.ts'

/**
 * How a context ends: what it has in its databases is flushed and committed, or rolled back, once, whichever of its
 * endings comes first. From then on it refuses writes.
 */
export abstract class SettlingContext extends Settlement implements ScopesOwner, RunnableContext {
  /** No other context of the process has it. */
  readonly id: number = ++contexts
  readonly databases: DatabaseSet
  /** The sandbox of the test that the context belongs to, if it does. */
  readonly sandbox: SandboxOfContexts | undefined = currentSandbox()
  /** From its first use until it is released. */
  protected scopes: DatabaseScopes | undefined
  /** Those that it is one of, if what it is for has `retry`. */
  attempts: Attempts | undefined
  #running: RunningContext | undefined

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

  abstract get view (): ContextView

  /** What events say of it. */
  abstract get description (): ContextDescription

  /** Milliseconds after which it is worth a warning that a connection was held by a transaction. */
  abstract get warnHeldMs (): number

  /** Where the context logs to, if it has a logger. */
  abstract get log (): FastifyBaseLogger | undefined

  /** Ends it as the abort of a client or of a signal does, because the app is closing. */
  abstract abort (reason: Error): void

  /** Runs `callback` in the context itself, also from within an `em.transactional()` or from outside. */
  abstract runOutermost<T> (callback: () => T): T

  /** Publishes and logs what has failed after the outcome was decided; without a logger, as a warning of the process. */
  report (error: unknown, message: string): void {
    if (failed.hasSubscribers) failed.publish({ ...this.description, message, error } satisfies FailedEvent)
    if (this.log !== undefined) return this.log.error({ err: error }, message)
    process.emitWarning(message, { type: 'FastifyContextOrmWarning', detail: error instanceof Error ? error.stack : String(error) })
  }

  /** Has used a database, and not settled yet. */
  get isRunning (): boolean {
    return this.#running !== undefined
  }

  /** Has begun a transaction, which nothing has ended yet. */
  get hasUncommitted (): boolean {
    return this.scopes?.hasTransaction === true
  }

  /** A commit may find something to do. */
  get hasSomethingToCommit (): boolean {
    return this.isInUse && !this.scopes!.isIdle && !this.#isReadOnly
  }

  /** Its last commit has written something. */
  get hasCommitted (): boolean {
    return this.scopes?.hasCommitted === true && !this.#isReadOnly
  }

  /** What the context has from its first use on. Throws `FST_ORM_NO_CONTEXT` if it must not be used. */
  use (what: string): DatabaseScopes {
    this.assertWanted(what)
    if (this.scopes === undefined) {
      if (this.state === 'unused') this.onFirstUse()
      if (this.advance('use')) this.#running = this.attempts?.isEnded === false ? this.attempts.place : new RunningContext(this) // the client may be gone already
      this.scopes = new DatabaseScopes(this)
    }
    return this.scopes
  }

  assertWanted (what: string): void {
    if (this.options === false) {
      throw new FST_ORM_NO_CONTEXT(what, `${this.name} opted out with config.orm: false`, 'Remove that, or use runInContext()')
    }
  }

  assertOpen (what: string): void {
    if (this.ending !== undefined) throw new FST_ORM_CONTEXT_ENDED(this.name, this.outcome ?? 'it is being settled', what)
  }

  /** Flushes every scope, so that generated ids and defaults are known. `undefined` if there is nothing to flush. */
  flush (): Promise<void> | undefined {
    return this.scopes?.flush()
  }

  /** Ends a context that has not been used; of others, and of those that have ended, it does nothing. */
  endUntouched (ending: Ending): void {
    if (this.advance('skip', ending)) this.end()
  }

  /**
   * Flushes all scopes, then commits them. What has failed is thrown, and everything that could still be rolled
   * back has been. The flush may be overtaken by another ending: look at `ending` then.
   */
  async commit (ending: Ending): Promise<void> {
    const { scopes } = this
    if (scopes === undefined) return this.endUntouched(ending)
    let isDecided = false
    try {
      await scopes.turns.untilOthersHaveRun()
      if (this.endIdle(ending)) return
      await scopes.turns.run(async () => {
        const preparing = this.ending === undefined ? scopes.prepareCommit() : undefined
        if (preparing !== undefined) await preparing
        if (this.ending !== undefined) return
        assertComplete(scopes)
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

  /** Before the context ends: resolves when what nobody has awaited is on its way; see `SettlingTurns`. */
  untilOthersHaveRun (): Promise<unknown> | undefined {
    return this.scopes?.turns.untilOthersHaveRun()
  }

  /** Ends a context that has only read, which takes no time. Returns whether it has ended, by now or before. */
  endIdle (ending: Ending): boolean {
    const { scopes } = this
    if (this.ending !== undefined) return true
    if (scopes?.isIdle !== true) return false
    scopes.closeIdle()
    this.advance('decide', ending)
    this.#settle(scopes, 'commit')
    return true
  }

  /**
   * Rolls back and ends the context, because of `error` if that is known. Resolves when that is done, or at once if it has
   * to wait for longer than the context does. Never rejects.
   */
  async rollback (ending: Ending, error?: unknown): Promise<void> {
    const { scopes } = this
    if (scopes === undefined) return this.endUntouched(ending)
    if (!this.advance('rollback', ending)) return
    this.end()
    const mustWait = scopes.all.some(scope => scope.transaction.isBeginning) ||
      (!this.waitsForStatements && (scopes.turns.isTaken || scopes.all.some(scope => scope.transaction.isBusy)))
    const ends = scopes.all.map(scope => scope.rollback({ last: true }))
    if (ending === 'abort') ends.push(...scopes.all.map(scope => scope.cancel()))
    const rolledBack = Promise.all(ends).then(async () => {
      await scopes.turns.untilFree() // a commit by hand that is on its way has its hooks for itself
      scopes.tell(this, error)
      await scopes.runHooks('afterRollback')
      this.#finishAfter(scopes)
    })
    if (mustWait) this.databases.addUnfinished(rolledBack)
    else await rolledBack
  }

  /** No more reads will come. Releases the scopes: at once if the context has settled, and otherwise when it has. */
  protected close (): void {
    if (this.advance('close') && this.isReleased) this.release()
  }

  /** Called when its ending is decided. */
  protected end (): void {
    this.scopes?.atomics.end()
    for (const { transaction: { reads } } of this.scopes?.all ?? []) {
      if (reads !== undefined) this.databases.addUnfinished(reads)
    }
  }

  /**
   * Lets go of the EntityManagers, which until then still read for a reply that is streamed: something that keeps the
   * context alive for long, like a timer, must not keep their entities as well.
   */
  protected release (): void {
    for (const released of this.scopes?.release() ?? []) this.databases.addUnfinished(released)
    this.scopes = undefined
  }

  get #isReadOnly (): boolean {
    return (this.options as TransactionOptions).readOnly === true
  }

  #settle (scopes: DatabaseScopes, result: 'commit' | 'fail', error?: unknown): Promise<void> | void {
    this.advance(result)
    this.end()
    scopes.tell(this, error)
    if (scopes.hooks.isEmpty) return this.#finishAfter(scopes)
    return scopes.runHooks(result === 'commit' ? 'afterCommit' : 'afterRollback').then(() => this.#finishAfter(scopes))
  }

  /** Hooks that nobody waits for still read, and are waited for by a shutdown. */
  #finishAfter ({ hooks: { unawaited } }: DatabaseScopes): void {
    if (unawaited === undefined) return this.#finish()
    if (this.#running === this.attempts?.place) this.#running = new RunningContext(this) // those end before
    unawaited.then(() => this.#finish())
  }

  #finish (): void {
    if (this.#running !== this.attempts?.place) this.#running?.remove()
    this.#running = undefined
    this.attempts?.leave()
    this.advance('finish')
    if (this.isReleased) this.release()
  }
}

/** How many there have been in this process. */
let contexts = 0

import type { EntityManager } from '@mikro-orm/core'
import type { FastifyBaseLogger } from 'fastify'
import { setTimeout } from 'node:timers/promises'
import { isRetriable } from '../drivers/errors.ts'
import { FST_ORM_BAD_OPTION, FST_ORM_FOREIGN_CHANGE, FST_ORM_NOT_RETRIABLE } from '../errors.ts'
import { EntityWatch } from '../mikro-orm/entity-watch.ts'
import type { RetrySettings } from '../options/retry.ts'
import { MAX_TIMER_MS } from '../util/max-timer.ts'
import { show } from '../util/show.ts'
import type { ContextView } from './context-view.ts'
import type { DatabaseSet } from './database-set.ts'
import { RunningContext, type RunnableContext } from './running-contexts.ts'
import type { Ending } from './settlement.ts'
import type { SandboxOfContexts } from './sandboxes.ts'

/** The context of one attempt. */
interface Attempt extends RunnableContext {
  readonly isInDoubt: boolean
  readonly isAborted: boolean
  readonly isRunning: boolean
  readonly entityManagers: readonly EntityManager[]
  attempts: Attempts | undefined
  refuseAll (): void
  readFromPrimary (): void
}

const COMMITTED = 'it has committed something already, which would be done twice (commit(), atomic(), or a context or transaction of its own inside)'

/**
 * A piece of work that is run again, from the beginning and in a new context each time, as long as it fails because of others.
 * Between the attempts it holds nothing.
 */
export class Attempts implements RunnableContext {
  readonly name: string
  readonly databases: DatabaseSet
  readonly sandbox: SandboxOfContexts | undefined
  readonly log: FastifyBaseLogger | undefined
  /** Among those that a shutdown waits for; its contexts have none of their own. */
  readonly place: RunningContext
  /** How many have begun. */
  count = 0
  readonly #settings: RetrySettings
  readonly #stop = new AbortController()
  readonly #signal: AbortSignal
  readonly #watches: EntityWatch[]
  #current: Attempt | undefined
  #last: Attempt
  #isInDoubt = false
  #entityManagers: readonly EntityManager[] = []
  #hasCommitted = false
  #isEnded = false
  #hasLeft = false

  /** `around` are the EntityManagers whose entities must not be changed in it: of the contexts around. `signal` ends the waits. */
  constructor (settings: RetrySettings, first: Attempt, around: readonly EntityManager[] = [], signal?: AbortSignal) {
    this.#signal = signal === undefined ? this.#stop.signal : AbortSignal.any([this.#stop.signal, signal])
    this.#settings = settings
    const { name, databases, sandbox, log } = first
    this.name = name
    this.databases = databases
    this.sandbox = sandbox
    this.log = log
    this.#watches = around.map(em => new EntityWatch(em))
    this.place = new RunningContext(this)
    this.#last = first
    this.begin(first)
  }

  get ending (): Ending | undefined {
    return this.#current?.ending
  }

  get view (): ContextView | undefined {
    return this.#current?.view
  }

  /** One has failed, and the next has not begun. */
  get isWaiting (): boolean {
    return this.#current === undefined && !this.#isEnded
  }

  isCurrent (attempt: object): boolean {
    return this.#current === attempt
  }

  get isEnded (): boolean {
    return this.#isEnded
  }

  begin (attempt: Attempt): void {
    attempt.attempts = this
    this.#current = this.#last = attempt
    if (this.count++ > 0) attempt.readFromPrimary()
  }

  /** There will be no other. The last may still be on its way to its end, such as a commit whose client has left. */
  end (): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#stop.abort()
    if (!this.#last.isRunning) this.leave()
  }

  /** Nothing of it is running any more, if there will be no other. */
  leave (): void {
    if (!this.#isEnded || this.#hasLeft) return
    this.#hasLeft = true
    this.place.remove()
  }

  abort (reason: Error): void {
    this.#current?.abort(reason)
    this.#stop.abort(reason)
  }

  /** The present one has failed, and has not let go of its EntityManagers yet: from here on, they refuse what still uses them. */
  noteFailure (): void {
    this.#current!.refuseAll()
    this.#isInDoubt = this.#current!.isInDoubt
    this.#entityManagers = this.#current!.entityManagers
  }

  /** Something is committed that the next attempt would do once more. */
  noteCommit (): void {
    this.#hasCommitted = true
  }

  /** Before the commit. Throws `FST_ORM_FOREIGN_CHANGE`: what belongs to an EntityManager of others would be lost, or written twice. */
  assertOwnChanges (): void {
    for (const watch of this.#watches) {
      const changed = watch.findChanged()
      if (changed !== undefined) throw new FST_ORM_FOREIGN_CHANGE(this.name, changed)
    }
  }

  /**
   * Whether there is to be another attempt after the present one has failed with `error`. `obstacle` says why it cannot be. Throws
   * `FST_ORM_NOT_RETRIABLE` where there would be one, if it could be.
   */
  isWorthAnother (error: unknown, obstacle?: string): boolean {
    const { attempts, when } = this.#settings
    if (this.#isEnded || this.#stop.signal.aborted || this.#current!.isAborted || this.#isInDoubt) return false
    if (this.count >= attempts || causes(error).some(isFinal)) return false
    if (!causes(error).some(isRetriable) && !when(error)) return false
    const why = this.#hasCommitted ? COMMITTED : obstacle
    if (why !== undefined) throw new FST_ORM_NOT_RETRIABLE(this.name, why, { cause: error })
    this.#current = undefined
    return true
  }

  /** Waits for the next attempt, when the failed one has been rolled back. Rejects if it must not begin. */
  async untilNext (error: unknown): Promise<void> {
    const delay = this.#settings.delay(this.count)
    if (!(typeof delay === 'number' && delay >= 0)) {
      throw new FST_ORM_BAD_OPTION(this.name, 'retry.delay', 'a function that returns a number of milliseconds, 0 or more', `one that returned ${show(delay)}`)
    }
    this.#watches.push(...this.#entityManagers.map(em => new EntityWatch(em)))
    this.log?.info({ err: error }, `${this.name} has failed because of others, and is run again: attempt ${this.count + 1} of ${this.#settings.attempts} at most`)
    await setTimeout(Math.min(delay, MAX_TIMER_MS), undefined, { signal: this.#signal }).catch(() => { throw this.#signal.reason })
  }
}

/** Says that a part of the work is done already. */
function isFinal (error: unknown): boolean {
  return FINAL.has(String((error as { code?: unknown }).code))
}

const FINAL = new Set(['FST_ORM_NOT_RETRIABLE', 'FST_ORM_PARTIAL_COMMIT'])

/** What was thrown, and what that was thrown because of. */
function causes (error: unknown): unknown[] {
  const all: unknown[] = []
  for (let next = error; next instanceof Error && !all.includes(next); next = next.cause) all.push(next)
  return all
}

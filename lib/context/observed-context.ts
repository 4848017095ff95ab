import { statement } from '../transaction/observed-statement.ts'
import type { Beginning, StatementDescription } from '../transaction/statement-description.ts'
import { AttemptedContext } from './attempted-context.ts'
import type { CommitHook, HookKind } from './commit-hooks.ts'
import { viewOf, type ContextActivity, type ContextNumbers, type ContextState, type ContextView } from './context-view.ts'
import type { DatabaseScope } from './database-scope.ts'
import { begun, hooks, type BegunEvent, type HookEvent, type StatementEvent } from './events.ts'

/** What others may see of a context, and are told of it on its way. */
export abstract class ObservedContext extends AttemptedContext {
  #view: ContextView | undefined
  /** Those of one that is released, which nobody could count any more. */
  #numbers: ContextNumbers | undefined

  /** Made for the first who wants to see it. */
  get view (): ContextView {
    this.#view ??= viewOf(this)
    return this.#view
  }

  get activity (): ContextActivity {
    const all = this.scopes?.all ?? []
    const isHolding = all.some(scope => scope.holdsTransaction)
    const isReading = all.some(({ transaction }) => transaction.isReading)
    const isWaiting = all.some(({ transaction }) => transaction.statistics.isWaiting)
    return { state: this.#progress ?? (isHolding ? 'held' : isReading ? 'reading' : 'idle'), isHolding, isWaiting }
  }

  get numbers (): ContextNumbers {
    return this.#numbers ?? sumOf(this.scopes?.all ?? [])
  }

  onBegun (beginning: Beginning): void {
    if (begun.hasSubscribers) begun.publish({ ...this.description, ...beginning, context: this.view } satisfies BegunEvent)
  }

  onStatement (description: StatementDescription): void {
    statement.publish({ ...description, context: this.view } satisfies StatementEvent)
  }

  /** The same hook: when it has run, those are told who have subscribed by now. */
  protected observing (kind: HookKind, hook: CommitHook): CommitHook {
    if (!hooks.hasSubscribers) return hook
    return async () => {
      const since = performance.now()
      const tell = (error?: unknown): void => {
        hooks.publish({ ...this.description, hook: kind, function: hook.name, duration: performance.now() - since, error, context: this.view } satisfies HookEvent)
      }
      try {
        await hook()
      } catch (error) {
        tell(error)
        throw error
      }
      tell()
    }
  }

  protected override release (): void {
    if (this.#view !== undefined) this.#numbers = this.numbers
    super.release()
  }

  get #progress (): ContextState | undefined {
    if (this.state === 'settled' || this.isReleased) return 'ended'
    return this.ending !== undefined || this.scopes?.turns.isTaken === true ? 'settling' : undefined
  }
}

function sumOf (all: readonly DatabaseScope[]): ContextNumbers {
  const numbers = { heldMs: 0, waitedMs: 0, reads: 0, writes: 0 }
  for (const { transaction: { statistics } } of all) {
    numbers.heldMs += statistics.held
    numbers.waitedMs += statistics.waited
    numbers.reads += statistics.reads
    numbers.writes += statistics.writes
  }
  return numbers
}

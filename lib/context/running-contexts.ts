import type { FastifyBaseLogger } from 'fastify'
import type { ContextView } from './context-view.ts'
import type { DatabaseSet } from './database-set.ts'
import type { Ending } from './settlement.ts'
import type { SandboxOfContexts } from './sandboxes.ts'

/** A context, as those see it who wait for its end. */
export interface RunnableContext {
  readonly name: string
  readonly databases: DatabaseSet
  readonly sandbox: SandboxOfContexts | undefined
  readonly ending: Ending | undefined
  readonly log: FastifyBaseLogger | undefined
  /** What others may see of it; `undefined` between two attempts. */
  readonly view: ContextView | undefined
  /** Ends it as the abort of a client or of a signal does. */
  abort (reason: Error): void
}

/** The first and the last of the contexts that have used a database and have not settled yet. */
let first: RunningContext | undefined
let last: RunningContext | undefined
let changed: PromiseWithResolvers<void> | undefined

/**
 * The place of a context among those that a shutdown waits for. (In a `Set`, Node 24 keeps the places of those that have
 * left until it has made the set anew, which is often.)
 */
export class RunningContext {
  readonly context: RunnableContext
  #previous = last
  #next: RunningContext | undefined

  constructor (context: RunnableContext) {
    this.context = context
    if (last === undefined) first = this
    else last.#next = this
    last = this
  }

  get next (): RunningContext | undefined {
    return this.#next
  }

  /** The context has settled. */
  remove (): void {
    if (this.#previous === undefined) first = this.#next
    else this.#previous.#next = this.#next
    if (this.#next === undefined) last = this.#previous
    else this.#next.#previous = this.#previous
    this.#previous = this.#next = undefined // a removed node in the old generation would keep its successors alive
    changed?.resolve()
    changed = undefined
  }
}

export function runningContexts (isMeant: (context: RunnableContext) => boolean): RunnableContext[] {
  const running: RunnableContext[] = []
  for (let place = first; place !== undefined; place = place.next) if (isMeant(place.context)) running.push(place.context)
  return running
}

/** Resolves when none of those that are meant is running any more. */
export async function untilNoneRuns (isMeant: (context: RunnableContext) => boolean): Promise<void> {
  while (runningContexts(isMeant).length > 0) {
    changed ??= Promise.withResolvers<void>()
    await changed.promise
  }
}

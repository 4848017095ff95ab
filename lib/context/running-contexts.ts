import type { Context } from './context.ts'

/** Of the contexts that have used a database and have not settled yet, the first and the last. */
let first: RunningContext | undefined
let last: RunningContext | undefined
let changed: PromiseWithResolvers<void> | undefined

/**
 * The place of a context among those that a shutdown waits for. (In a `Set`, Node 24 keeps the places of those that have
 * left until it has made the set anew, which is often.)
 */
export class RunningContext {
  readonly context: Context
  #previous = last
  #next: RunningContext | undefined

  constructor (context: Context) {
    this.context = context
    if (last === undefined) first = this
    else last.#next = this
    last = this
  }

  get next (): RunningContext | undefined {
    return this.#next
  }

  /** The context has settled. */
  leave (): void {
    if (this.#previous === undefined) first = this.#next
    else this.#previous.#next = this.#next
    if (this.#next === undefined) last = this.#previous
    else this.#next.#previous = this.#previous
    this.#previous = this.#next = undefined // what the garbage collector takes for old would keep the next one, and that the next
    changed?.resolve()
    changed = undefined
  }
}

export function runningContexts (isMeant: (context: Context) => boolean): Context[] {
  const running: Context[] = []
  for (let place = first; place !== undefined; place = place.next) if (isMeant(place.context)) running.push(place.context)
  return running
}

/** Resolves when none of those that are meant is running any more. */
export async function untilNoneRuns (isMeant: (context: Context) => boolean): Promise<void> {
  while (runningContexts(isMeant).length > 0) {
    changed ??= Promise.withResolvers<void>()
    await changed.promise
  }
}

import { AsyncNesting } from '../util/async-nesting.ts'

/** What the caller is called in. */
const flushing = new AsyncNesting<Flushes>()

/**
 * The flushes of one EntityManager, which MikroORM runs one after the other. Where one fails, MikroORM 7.2.1 forgets those
 * that wait for it: nobody would ever answer them.
 */
export class Flushes {
  /** The one that is running, and that the others wait for. */
  #running: Promise<void> | undefined

  /** No flush is running or waiting. */
  get isIdle (): boolean {
    return this.#running === undefined
  }

  /** The caller is a hook of an entity or a subscriber, whom the flush that is running waits for. */
  get isCallers (): boolean {
    return !this.isIdle && flushing.has(this)
  }

  /** Settled as the one that is running; those that wait are done before. `undefined` if that waits for the caller. */
  get done (): Promise<void> | undefined {
    return this.isCallers ? undefined : this.#running
  }

  /** Those that wait fail with the one before: what they were to write was dropped with it. */
  async run (flush: () => Promise<void>): Promise<void> {
    if (this.#running !== undefined) return await firstToSettle(flush(), this.#running)
    const running = this.#running = flushing.run(this, flush)
    try {
      await running
    } finally {
      this.#running = undefined
    }
  }
}

/** Settled as the flush that waits, unless the one before it rejects. */
function firstToSettle (waiting: Promise<void>, before: Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    waiting.then(resolve, reject)
    before.catch(reject)
  })
}

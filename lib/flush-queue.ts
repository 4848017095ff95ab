import { AsyncLocalStorage } from 'node:async_hooks'
import { Turns } from './turns.ts'

/** The queue whose flush the caller is part of. */
const flushing = new AsyncLocalStorage<FlushQueue>()

/**
 * Flushes of one EntityManager, one after the other. MikroORM has such a queue as well, but drops what is in it when a
 * flush fails, and whoever waits for the rest waits for ever (seen in 7.2.1).
 */
export class FlushQueue {
  readonly #turns = new Turns()

  /** No flush is running or waiting. */
  get isIdle (): boolean {
    return !this.#turns.isTaken
  }

  run (flush: () => Promise<void>): Promise<void> {
    // a flush from within a flush is a mistake, of which MikroORM tells
    if (flushing.getStore() === this) return flush()
    return this.#turns.run(() => flushing.run(this, flush))
  }
}

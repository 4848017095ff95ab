import type { DatabaseConnection, Query } from '../drivers/pinned-transaction.ts'
import { patience } from '../util/patience.ts'

/**
 * Notices that the connection of a stream has died: pg-cursor 2.22 waits for ever for an answer of the server then, to its
 * `close()` above all. A statement that is sent beside the stream waits for its end if the connection is alive, and is
 * refused if it is not.
 */
export class Lifeline {
  readonly #timer: NodeJS.Timeout
  readonly #waiting = new Set<(error: unknown) => void>()
  #isProbing = false

  constructor (connection: DatabaseConnection, probe: Query) {
    this.#timer = setInterval(() => {
      if (this.#isProbing || this.#waiting.size === 0) return
      this.#isProbing = true
      connection.executeQuery(probe).then(() => { this.#isProbing = false }, error => {
        this.#isProbing = false
        for (const fail of this.#waiting) fail(error)
      })
    }, patience.checkEvery)
  }

  /** Settles as `step` does, or rejects when the connection has died. (`Promise.race()` would keep every step until the end.) */
  async watch<T> (step: Promise<T>): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    this.#waiting.add(reject)
    step.then(resolve, reject)
    try {
      return await promise
    } finally {
      this.#waiting.delete(reject)
    }
  }

  /** Stops looking. */
  release (): void {
    clearInterval(this.#timer)
  }
}

import type { EventEmitter } from 'node:events'

/** How long connections are out of their pool, whoever has taken them. */
export class HeldConnections {
  readonly #since = new Map<object, number>()
  #ms = 0

  /** A pool of pg's or mysql2's. */
  watch (pool: EventEmitter): void {
    pool.on('acquire', client => { this.#since.set(client, performance.now()) })
    pool.on('release', (...args) => {
      const client: object = args.at(-1)
      const since = this.#since.get(client)
      if (since === undefined) return
      this.#ms += performance.now() - since
      this.#since.delete(client)
    })
  }

  /** Connections that are out at the moment. */
  get taken (): number {
    return this.#since.size
  }

  /** Milliseconds, of all connections together, those that are out included. */
  get ms (): number {
    const now = performance.now()
    return [...this.#since.values()].reduce((sum, since) => sum + now - since, this.#ms)
  }
}

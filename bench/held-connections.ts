import type { Pool, PoolClient } from 'pg'

/** How long connections are out of their pool, whoever has taken them. */
export class HeldConnections {
  readonly #since = new Map<PoolClient, number>()
  #ms = 0

  watch (pool: Pool): void {
    pool.on('acquire', client => { this.#since.set(client, performance.now()) })
    pool.on('release', (_error, client) => {
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

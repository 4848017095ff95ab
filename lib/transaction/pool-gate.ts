import type { AbstractSqlConnection, SqlEntityManager } from '@mikro-orm/sql'
import { driverOptionsOf } from '../drivers/driver-options.ts'
import { SANDBOXED } from '../context/sandboxes.ts'

/** What drivers do without a size (pg 8.23, mysql2 3). */
const DEFAULT_SIZE = 10

interface Waiting {
  depth: number
  admit (): void
}

const gates = new WeakMap<AbstractSqlConnection, PoolGate>()

/**
 * Admits the transactions of contexts to a pool, so that those that wait for a second connection while they hold one
 * (a context inside a context) do not starve it: the inner ones come first, and once there have been inner ones, the
 * outer ones leave connections for them.
 */
export class PoolGate {
  readonly size: number
  #admitted = 0
  /** How many connections one chain of contexts has held at most while it waited for another. */
  #maxDepth = 0
  readonly #waiting: Waiting[] = []

  private constructor (size: number) {
    this.size = size
  }

  static of (em: SqlEntityManager): PoolGate {
    const pool: AbstractSqlConnection = em.getConnection('write')
    const known = gates.get(pool)
    if (known !== undefined) return known
    const isPool = pool.getClient().getExecutor().adapter.supportsMultipleConnections && !(SANDBOXED in pool)
    const gate = new PoolGate(isPool ? sizeOf(em) : Infinity)
    gates.set(pool, gate)
    return gate
  }

  /** Something waits for a connection while the contexts around it hold so many. */
  note (depth: number): void {
    // a chain that is deeper than the pool is starved anyway, and must not keep the others out
    this.#maxDepth = Math.max(this.#maxDepth, Math.min(depth, this.size - 1))
  }

  /** Whoever is admitted has to `leave()`. `undefined` if there is nothing to wait for. */
  enter (depth: number): Promise<void> | undefined {
    if (this.#hasRoomFor(depth)) {
      this.#admitted++
      return undefined
    }
    const { promise, resolve } = Promise.withResolvers<void>()
    const index = this.#waiting.findIndex(waiting => waiting.depth < depth)
    this.#waiting.splice(index === -1 ? this.#waiting.length : index, 0, { depth, admit: resolve })
    return promise
  }

  leave (): void {
    this.#admitted--
    for (let next = this.#waiting[0]; next !== undefined && this.#hasRoomFor(next.depth); next = this.#waiting[0]) {
      this.#waiting.shift()
      this.#admitted++
      next.admit()
    }
  }

  #hasRoomFor (depth: number): boolean {
    return this.#admitted < Math.max(1, this.size - Math.max(0, this.#maxDepth - depth))
  }
}

function sizeOf (em: SqlEntityManager): number {
  const options = driverOptionsOf(em)
  if (options === undefined) return Infinity
  return options.max ?? options.connectionLimit ?? em.config.get('pool').max ?? DEFAULT_SIZE
}

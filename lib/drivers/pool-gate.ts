interface Waiting {
  depth: number
  admit (): void
}

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

  /** `size` is `Infinity` where that limits nobody: a single connection is waited for anyway. */
  constructor (size: number) {
    this.size = size
  }

  /** Something waits for a connection while the contexts around it hold so many. */
  note (depth: number): void {
    // a chain that is deeper than the pool is starved anyway, and must not keep the others out
    this.#maxDepth = Math.max(this.#maxDepth, Math.min(depth, this.size - 1))
  }

  /** Whoever is admitted has to `release()`. `undefined` if there is nothing to wait for. */
  acquire (depth: number): Promise<void> | undefined {
    if (this.#hasRoomFor(depth)) {
      this.#admitted++
      return undefined
    }
    const { promise, resolve } = Promise.withResolvers<void>()
    const index = this.#waiting.findIndex(waiting => waiting.depth < depth)
    this.#waiting.splice(index === -1 ? this.#waiting.length : index, 0, { depth, admit: resolve })
    return promise
  }

  release (): void {
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

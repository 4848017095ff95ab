interface Waiting {
  enter (leave: () => void): void
}

/**
 * Requests of this process with the same key, one after the other: those that wait keep no connection, which the first one may
 * need. It is a courtesy to the pool: what keeps requests of all processes apart is the key's row.
 */
export class Lanes {
  readonly #waiting = new Map<string, Waiting[]>()

  /** Resolves with what ends the turn, or with `undefined` if `wait` milliseconds have passed before. */
  async enter (id: string, wait: number): Promise<(() => void) | undefined> {
    const waiting = this.#waiting.get(id)
    if (waiting !== undefined) return await this.#join(waiting, wait)
    this.#waiting.set(id, [])
    return this.#leaving(id)
  }

  #join (waiting: Waiting[], wait: number): Promise<(() => void) | undefined> {
    return new Promise(resolve => {
      const mine: Waiting = {
        enter (leave) {
          clearTimeout(timer)
          resolve(leave)
        }
      }
      const timer = setTimeout(() => {
        waiting.splice(waiting.indexOf(mine), 1)
        resolve(undefined)
      }, wait)
      waiting.push(mine)
    })
  }

  #leaving (id: string): () => void {
    let hasLeft = false
    return () => {
      if (hasLeft) return
      hasLeft = true
      const next = this.#waiting.get(id)!.shift()
      if (next === undefined) this.#waiting.delete(id)
      else next.enter(this.#leaving(id))
    }
  }
}

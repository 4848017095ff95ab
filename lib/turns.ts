/** Runs one task after the other, in the order in which they came. */
export class Turns {
  /** Settled when the one is done that came last; `undefined` if all of them are. */
  #last: Promise<void> | undefined
  #isTaken = false

  /** A task is running. */
  get isTaken (): boolean {
    return this.#isTaken
  }

  /** No task is running or waiting. */
  get isIdle (): boolean {
    return this.#last === undefined
  }

  async run<T> (task: () => Promise<T>): Promise<T> {
    const before = this.#last
    const turn = Promise.withResolvers<void>()
    this.#last = turn.promise
    if (before !== undefined) await before
    this.#isTaken = true
    try {
      return await task()
    } finally {
      this.#isTaken = false
      if (this.#last === turn.promise) this.#last = undefined
      turn.resolve()
    }
  }
}

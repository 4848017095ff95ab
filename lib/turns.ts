/** Runs one task after the other, in the order in which they came. */
export class Turns {
  #last: Promise<void> = Promise.resolve()
  #isTaken = false

  /** A task is running. */
  get isTaken (): boolean {
    return this.#isTaken
  }

  async run<T> (task: () => Promise<T>): Promise<T> {
    const before = this.#last
    const turn = Promise.withResolvers<void>()
    this.#last = turn.promise
    await before
    this.#isTaken = true
    try {
      return await task()
    } finally {
      this.#isTaken = false
      turn.resolve()
    }
  }
}

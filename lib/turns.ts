/** Runs one task after the other, in the order in which they came. */
export class Turns {
  #isTaken = false
  /** Who waits is let in by the one before, who leaves it taken. */
  #waiting: (() => void)[] | undefined

  /** A task is running or waiting. */
  get isTaken (): boolean {
    return this.#isTaken
  }

  async run<T> (task: () => Promise<T>): Promise<T> {
    if (this.#isTaken) await new Promise<void>(resolve => { (this.#waiting ??= []).push(resolve) })
    this.#isTaken = true
    try {
      return await task()
    } finally {
      const next = this.#waiting?.shift()
      if (next === undefined) this.#isTaken = false
      else next()
    }
  }
}

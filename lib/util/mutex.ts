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
    const turn = this.enter()
    if (turn !== undefined) await turn
    try {
      return await task()
    } finally {
      this.leave()
    }
  }

  /** Takes the next turn, which has to be left. `undefined` if there is nothing to wait for. */
  enter (): Promise<void> | undefined {
    if (this.#isTaken) return new Promise<void>(resolve => { (this.#waiting ??= []).push(resolve) })
    this.#isTaken = true
    return undefined
  }

  leave (): void {
    const next = this.#waiting?.shift()
    if (next === undefined) this.#isTaken = false
    else next()
  }
}

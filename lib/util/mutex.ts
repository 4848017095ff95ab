/** Runs one task after the other, in the order in which they came. */
export class Mutex {
  #isLocked = false
  /** Who waits is let in by the one before, who leaves it taken. */
  #waiting: (() => void)[] | undefined

  /** A task is running or waiting. */
  get isLocked (): boolean {
    return this.#isLocked
  }

  async run<T> (task: () => Promise<T>): Promise<T> {
    const turn = this.lock()
    if (turn !== undefined) await turn
    try {
      return await task()
    } finally {
      this.unlock()
    }
  }

  /** Takes the next turn, which has to be left. `undefined` if there is nothing to wait for. */
  lock (): Promise<void> | undefined {
    if (this.#isLocked) return new Promise<void>(resolve => { (this.#waiting ??= []).push(resolve) })
    this.#isLocked = true
    return undefined
  }

  unlock (): void {
    const next = this.#waiting?.shift()
    if (next === undefined) this.#isLocked = false
    else next()
  }
}

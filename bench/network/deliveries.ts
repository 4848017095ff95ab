interface Delivery {
  dueAt: number
  deliver: () => void
}

/** While something is on its way: timers of Node have milliseconds, which is as much as a whole round trip. Linux makes it twice as long. */
const DOZE_MS = 0.05

/** Does things a fixed time after they were added, in their order. */
export class Deliveries {
  readonly #delayMs: number
  readonly #underway: Delivery[] = []
  #isAwake = false
  readonly #never: Int32Array = new Int32Array(new SharedArrayBuffer(4))

  constructor (delayMs: number) {
    this.#delayMs = delayMs
  }

  add (deliver: () => void): void {
    this.#underway.push({ dueAt: performance.now() + this.#delayMs, deliver })
    if (this.#isAwake) return
    this.#isAwake = true
    setImmediate(this.#deliverWhatIsDue)
  }

  readonly #deliverWhatIsDue = (): void => {
    const now = performance.now()
    while (this.#underway.length > 0 && this.#underway[0]!.dueAt <= now) this.#underway.shift()!.deliver()
    if (this.#underway.length === 0) {
      this.#isAwake = false
      return
    }
    if (this.#underway[0]!.dueAt - now > 3 * DOZE_MS) Atomics.wait(this.#never, 0, 0, DOZE_MS)
    setImmediate(this.#deliverWhatIsDue)
  }
}

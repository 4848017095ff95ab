/** A source of numbers that are the same for the same seed (mulberry32, which is in the public domain). */
export class Random {
  #state: number

  constructor (seed: number) {
    this.#state = seed >>> 0
  }

  /** From 0 up to, and without, `limit`. */
  below (limit: number): number {
    this.#state = (this.#state + 0x6D2B79F5) >>> 0
    let mixed = this.#state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32 * limit
  }

  pick<T> (choices: readonly T[]): T {
    return choices[Math.floor(this.below(choices.length))]!
  }
}

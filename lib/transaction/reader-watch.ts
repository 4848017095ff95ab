import { MAX_TIMER_MS } from '../util/max-timer.ts'

export interface ReaderLimits {
  /** Milliseconds after which `onSlow` is called, once. */
  readonly warnMs: number
  /** Milliseconds after which `onTimeout` is called, and nothing any more. */
  readonly timeoutMs: number
  onSlow (waited: number): void
  onTimeout (): void
}

/** Notices that the reader of a stream does not read on, while the stream keeps a connection for it. */
export class ReaderWatch {
  readonly #limits: ReaderLimits
  #timer: NodeJS.Timeout | undefined
  #since: number | undefined
  #isSlow = false

  constructor (limits: ReaderLimits) {
    this.#limits = limits
    this.#look()
  }

  /** The reader has a row, and has not asked for the next one. */
  startWaiting (): void {
    this.#since = performance.now()
  }

  /** It has: now the database is to be waited for, which does not count. */
  stopWaiting (): void {
    this.#since = undefined
  }

  release (): void {
    clearTimeout(this.#timer)
  }

  #look (): void {
    const { warnMs, timeoutMs } = this.#limits
    const waited = this.#since === undefined ? 0 : performance.now() - this.#since
    if (waited > timeoutMs) return this.#limits.onTimeout()
    if (waited > warnMs && !this.#isSlow) {
      this.#isSlow = true
      this.#limits.onSlow(waited)
    }
    const next = this.#isSlow ? timeoutMs : Math.min(warnMs, timeoutMs)
    if (next < Infinity) this.#timer = setTimeout(() => this.#look(), Math.min(next - waited + 1, MAX_TIMER_MS)).unref()
  }
}

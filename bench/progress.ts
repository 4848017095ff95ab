import { SingleBar } from 'cli-progress'

/** What is being measured, on a terminal or in a log. */
export class Progress {
  readonly #bar = new SingleBar({ format: '{bar} {value} of {total} | {title} | {doing}', noTTYOutput: true, notTTYSchedule: 10_000, hideCursor: true })
  #doing = ''

  /** Of a benchmark, with so many steps. */
  start (title: string, steps: number): void {
    this.#bar.start(steps, 0, { title, doing: '' })
  }

  /** Ends the step before, and begins another one. */
  step (doing: string): void {
    this.#bar.increment(this.#doing === '' ? 0 : 1, { doing })
    this.#doing = doing
  }

  stop (): void {
    this.#bar.increment(this.#doing === '' ? 0 : 1, { doing: 'done' })
    this.#bar.stop()
    this.#doing = ''
  }
}

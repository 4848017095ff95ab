import { AsyncNesting } from '../util/async-nesting.ts'
import { untilPromisesHaveRun } from '../util/ticks.ts'

/** What the caller commits or rolls back. */
const settling = new AsyncNesting<SettlingTurns>()

/** The commits and rollbacks of a context, which follow one another. */
export class SettlingTurns {
  #running: Promise<unknown> | undefined
  #last: Promise<unknown> | undefined

  /** Somebody is committing or rolling back. */
  get isTaken (): boolean {
    return this.#running !== undefined
  }

  /** The caller is part of a commit or rollback. */
  get isCallers (): boolean {
    return this.isTaken && settling.has(this)
  }

  /** Whoever has waited for one that fails, fails with it: what was to be committed is gone. */
  async run<T> (settle: () => Promise<T>): Promise<T> {
    const before = this.#running
    const run = (): Promise<T> => settling.run(this, settle)
    const mine = before === undefined ? run() : before.then(run)
    this.#running = this.#last = mine
    try {
      return await mine
    } finally {
      if (this.#running === mine) this.#running = undefined
    }
  }

  /** Resolves when nobody is committing or rolling back, unless the caller is part of that. */
  async untilFree (): Promise<void> {
    if (!settling.has(this)) await this.#running?.catch(() => {})
  }

  /**
   * Before the last commit, a statement that nobody has awaited may still be on its way to the database. Resolves when all
   * promises that wait for nothing have run. Rejects if a commit has failed meanwhile, with its error.
   */
  untilOthersHaveRun (): Promise<unknown> | undefined {
    if (this.isTaken) return undefined
    const before = this.#last
    return untilPromisesHaveRun(() => this.#last === before ? undefined : this.#last)
  }
}

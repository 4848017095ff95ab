import { FST_ORM_SANDBOX_WAIT } from '../errors.ts'
import { patience } from '../util/patience.ts'
import type { SandboxSavepoint } from './sandbox-savepoint.ts'

interface Waiting {
  who: string
  where: () => SandboxSavepoint
  since: number
  start (): void
  fail (error: Error): void
}

/**
 * Those who wait for the one connection of a sandbox. Savepoints lie in one another: whoever works in the innermost one
 * that is open is next, and whoever waits for one around it waits until that is the innermost.
 */
export class SandboxQueue {
  readonly #waiting: Waiting[] = []
  readonly #open: SandboxSavepoint[]
  #isBusy = false
  #lastActive = 0
  #timer: NodeJS.Timeout | undefined

  constructor (root: SandboxSavepoint) {
    this.#open = [root]
  }

  get innermost (): SandboxSavepoint {
    return this.#open.at(-1)!
  }

  /** All but the root, the innermost first. */
  get open (): SandboxSavepoint[] {
    return this.#open.slice(1).reverse()
  }

  push (savepoint: SandboxSavepoint): void {
    this.#open.push(savepoint)
  }

  /** Leaves a savepoint, and all that are inside of it. */
  popTo (savepoint: SandboxSavepoint): void {
    for (const left of this.#open.splice(this.#open.indexOf(savepoint))) left.close()
  }

  /**
   * Runs `task` when nothing else runs and `where()` is the innermost savepoint; it is asked anew until then. Rejects with
   * `FST_ORM_SANDBOX_WAIT` if the wait leads nowhere.
   */
  async run<T> (who: string, where: () => SandboxSavepoint, task: () => Promise<T>): Promise<T> {
    const turn = Promise.withResolvers<void>()
    this.#waiting.push({ who, where, since: performance.now(), start: turn.resolve, fail: turn.reject })
    this.#startNext()
    this.#timer ??= setInterval(() => this.#giveUpWhatLeadsNowhere(), patience.checkEvery)
    await turn.promise
    try {
      return await task()
    } finally {
      this.#isBusy = false
      this.#lastActive = performance.now()
      this.#startNext()
    }
  }

  /** Rejects all those who wait with what `error` makes for each. */
  failAll (error: (who: string) => Error): void {
    for (const waiting of this.#waiting.splice(0)) waiting.fail(error(waiting.who))
    this.#stopTimer()
  }

  /** Rejects those who wait for a savepoint that has been left. */
  failThoseInside (error: (who: string) => Error): void {
    for (const waiting of this.#waiting.filter(({ where }) => !where().isOpen)) this.#fail(waiting, error(waiting.who))
  }

  #startNext (): void {
    const next = this.#isBusy ? undefined : this.#waiting.find(({ where }) => where() === this.innermost)
    if (next === undefined) return
    this.#remove(next)
    this.#isBusy = true
    next.start()
  }

  #giveUpWhatLeadsNowhere (): void {
    const now = performance.now()
    for (const waiting of [...this.#waiting]) {
      const { who, where, since } = waiting
      const giveUp = ({ holder }: SandboxSavepoint, why: string): void => this.#fail(waiting, new FST_ORM_SANDBOX_WAIT(who, holder, why))
      const isStuck = !this.#isBusy && now - Math.max(since, this.#lastActive) >= patience.stuckSandbox
      if (isStuck) {
        giveUp(this.innermost, `nothing has happened for ${patience.stuckSandbox / 1000} s`)
        continue
      }
      // what lies right inside of where he wants to be is what keeps him waiting
      const first = this.#open.indexOf(where()) + 1
      for (const blocking of this.#open.slice(first, first + 1)) {
        if (now - Math.max(since, blocking.openedAt) >= patience.openSavepoint) giveUp(blocking, `it has not ended in ${patience.openSavepoint / 1000} s`)
      }
    }
  }

  #fail (waiting: Waiting, error: Error): void {
    this.#remove(waiting)
    waiting.fail(error)
  }

  #remove (waiting: Waiting): void {
    this.#waiting.splice(this.#waiting.indexOf(waiting), 1)
    if (this.#waiting.length === 0) this.#stopTimer()
  }

  #stopTimer (): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}

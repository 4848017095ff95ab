import { beginsWithSelect } from '../util/begins-with-select.ts'

/** What a scope has done, in numbers. */
export class Statistics {
  reads = 0
  writes = 0
  #held = 0
  #begunAt: number | undefined
  #waited = 0
  #waits = 0
  /** The sum of the moments when the waits have begun that have not ended. */
  #waitingSince = 0

  /** How many statements have come so far. */
  get statements (): number {
    return this.reads + this.writes
  }

  /** Milliseconds for which its transactions have held a connection. */
  get held (): number {
    return this.#begunAt === undefined ? this.#held : this.#held + performance.now() - this.#begunAt
  }

  /** Milliseconds for which its statements have waited for a connection, all together. */
  get waited (): number {
    return this.#waits === 0 ? this.#waited : this.#waited + this.#waits * performance.now() - this.#waitingSince
  }

  /** One of them does. */
  get isWaiting (): boolean {
    return this.#waits > 0
  }

  /** A statement of whoever uses the scope, and not one that begins or ends something. Perhaps it is known to be a read. */
  count (sql: string, isRead: boolean): void {
    if (isRead || beginsWithSelect(sql)) this.reads++
    else this.writes++
  }

  /** A connection is waited for. Returns what ends that; further calls change nothing. */
  wait (): () => void {
    const since = performance.now()
    let isOver = false
    this.#waits++
    this.#waitingSince += since
    return () => {
      if (isOver) return
      isOver = true
      this.#waits--
      this.#waitingSince -= since
      this.#waited += performance.now() - since
    }
  }

  /** A transaction has begun. */
  begin (): void {
    this.#begunAt = performance.now()
  }

  /** It has ended, and given back its connection. */
  end (): void {
    this.#held += performance.now() - this.#begunAt!
    this.#begunAt = undefined
  }
}

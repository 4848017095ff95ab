import { beginsWithSelect } from '../util/begins-with-select.ts'

/** What a scope has done, in numbers. */
export interface Statistics {
  held: number
  reads: number
  writes: number
}

/** Counts what one does, for events. */
export class StatisticsOfScope {
  #reads = 0
  #writes = 0
  #held = 0
  #begunAt: number | undefined

  /** A statement of whoever uses the scope, and not one that begins or ends something. Perhaps it is known to be a read. */
  count (sql: string, isRead: boolean): void {
    if (isRead || beginsWithSelect(sql)) this.#reads++
    else this.#writes++
  }

  get statements (): number {
    return this.#reads + this.#writes
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

  get held (): number {
    return this.#held
  }

  get all (): Statistics {
    return { held: this.#held, reads: this.#reads, writes: this.#writes }
  }
}

import type { DescribedHolding } from './descriptions.ts'

export interface Holding {
  readonly context: number
  readonly label: string
  readonly database: string
  readonly transaction: number
  readonly since: number
  sql?: string | undefined
  line?: string | undefined
  until?: number | undefined
}

/** So many that have ended are known still, to say whom somebody has waited for. */
const MOST_ENDED = 50

/** Which transactions hold connections, and have held them just now. It keeps what they are called, and not the contexts. */
export class Holdings {
  readonly #open = new Map<number, Holding>()
  #ended: Holding[] = []

  begin (holding: Holding): void {
    this.#open.set(holding.transaction, holding)
  }

  /** What it was begun for is told of a moment later. */
  explain (transaction: number, sql: string | undefined, line: string | undefined): void {
    const holding = this.#open.get(transaction)
    if (holding !== undefined) Object.assign(holding, { sql, line })
  }

  end (transaction: number): void {
    const holding = this.#open.get(transaction)
    if (holding === undefined) return
    holding.until = performance.now()
    this.#open.delete(transaction)
    this.#ended.push(holding)
    if (this.#ended.length > MOST_ENDED) this.#ended.shift()
  }

  /** A context has ended on a database: whatever has become of its transactions, they hold nothing. */
  endAllOf (context: number, database: string): void {
    for (const holding of this.#open.values()) if (holding.context === context && holding.database === database) this.end(holding.transaction)
  }

  /** Those that hold a connection now, the longest first. */
  now (): DescribedHolding[] {
    return [...this.#open.values()].map(described)
  }

  /** Others that held a connection at some time from then to then, the longest first. */
  during (from: number, to: number, { database, context }: { database: string, context: number }): DescribedHolding[] {
    return [...this.#ended, ...this.#open.values()]
      .filter(holding => holding.database === database && holding.context !== context && holding.since < to && (holding.until ?? Infinity) > from)
      .sort((a, b) => a.since - b.since)
      .slice(0, MOST_NAMED)
      .map(described)
  }
}

const MOST_NAMED = 5

function described ({ since, until = performance.now(), ...rest }: Holding): DescribedHolding {
  return { ...rest, heldMs: until - since }
}

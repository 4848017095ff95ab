import { PARTS, type Part } from './entities.ts'
import type { SettledContext } from './messages.ts'

export type Ending = typeof ENDINGS[number]

export const ENDINGS = ['success', 'throw', 'status', 'unique', 'abort', 'timeout', 'stream', 'hijack', 'branch', 'nested', 'parallel'] as const

interface Request {
  ending: Ending
  /** Of the complete reply that the client has seen, if it has seen one. */
  status: number | undefined
}

interface Range {
  min: number
  max: number
  because: string
}

const NEVER = (because: string): Range => ({ min: 0, max: 0, because })
const ONCE = (because: string): Range => ({ min: 1, max: 1, because })
const AT_MOST_ONCE = (because: string): Range => ({ min: 0, max: 1, because })

/** What the clients have seen, and the contexts have said; and what therefore has to be in the table. */
export class Ledger {
  readonly #requests = new Map<string, Request>()
  readonly #outcomes = new Map<string, SettledContext['outcome']>()
  readonly #problems: string[] = []

  noteReply (id: string, ending: Ending, status: number | undefined): void {
    this.#requests.set(id, { ending, status })
  }

  noteProblem (problem: string): void {
    this.#problems.push(problem)
  }

  readonly noteSettled = ({ request, kind, outcome }: SettledContext): void => {
    const context = `${request} ${kind}`
    if (this.#outcomes.has(context)) this.#problems.push(`${context} was settled twice: ${this.#outcomes.get(context)}, ${outcome}`)
    this.#outcomes.set(context, outcome)
  }

  /** How it was to end; `undefined` if nobody has waited for its reply. */
  endingOf (id: string): Ending | undefined {
    return this.#requests.get(id)?.ending
  }

  get size (): number {
    return this.#requests.size
  }

  /** How many commits are in doubt: their connection died. */
  get inDoubt (): number {
    return [...this.#outcomes.values()].filter(outcome => outcome === 'commitFailed').length
  }

  /** How many requests have ended in which way, and what their clients saw. */
  count (): Map<Ending, Map<string, number>> {
    const counts = new Map<Ending, Map<string, number>>(ENDINGS.map(ending => [ending, new Map()]))
    for (const { ending, status } of this.#requests.values()) {
      const ofEnding = counts.get(ending)!
      const seen = String(status ?? 'none')
      ofEnding.set(seen, (ofEnding.get(seen) ?? 0) + 1)
    }
    return counts
  }

  /** What is wrong with the table, given that these are its rows. */
  compare (rows: { request: string, part: Part }[]): string[] {
    const counts = new Map<string, number>()
    for (const { request, part } of rows) {
      if (!this.#requests.has(request)) this.#problems.push(`${request}: nobody has sent it, and it has written ${part}`)
      counts.set(`${request} ${part}`, (counts.get(`${request} ${part}`) ?? 0) + 1)
    }
    for (const [id, request] of this.#requests) {
      for (const part of PARTS) {
        const count = counts.get(`${id} ${part}`) ?? 0
        for (const { min, max, because } of this.#expected(id, request, part)) {
          if (count < min || count > max) {
            this.#problems.push(`${id} (${request.ending}, status ${request.status ?? 'none'}): ${part} is there ${count} times, and should be ${min === max ? '' : 'at most '}${max} times, because ${because}`)
          }
        }
      }
    }
    return this.#problems
  }

  /** By what the client saw, and by what the context said of itself: both have to be true. */
  #expected (id: string, { ending, status }: Request, part: Part): Range[] {
    if (part === 'inner') return [NEVER('its savepoint is always rolled back')]
    if (part === 'branch') return ending === 'branch' ? [this.#bySettled(`${id} branch`)] : [NEVER('it has no branch')]
    if (part !== 'main' && ending !== 'parallel') return [NEVER('it writes in one place')]
    const byReply = this.#byReply(id, status)
    // its commit is by hand, and says nothing of how the context ends
    return ending === 'hijack' ? [byReply] : [byReply, this.#bySettled(`${id} request`)]
  }

  #byReply (id: string, status: number | undefined): Range {
    if (status === undefined) return AT_MOST_ONCE('the client saw no reply')
    if (status < 400) return ONCE('the client saw a success')
    if (this.#outcomes.get(`${id} request`) === 'commitFailed') return AT_MOST_ONCE('its commit is in doubt')
    return NEVER('the client saw a failure')
  }

  #bySettled (context: string): Range {
    switch (this.#outcomes.get(context)) {
      case 'committed': return ONCE('the context was committed')
      case 'commitFailed': return AT_MOST_ONCE('the commit of the context is in doubt')
      case 'rolledBack': return NEVER('the context was rolled back')
      default: return NEVER('the context has not used the database')
    }
  }
}

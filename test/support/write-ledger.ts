import { DeadlockException } from '@mikro-orm/core'
import type { SettledEvent } from '../../lib/context/events.ts'

/** What every request of the load writes, in one transaction. */
export const PARTS = ['first', 'second'] as const

/** `in doubt`: the commit was on its way when its server was lost. */
export type Verdict = 'acknowledged' | 'refused' | 'in doubt'

/** What clients have been told of their writes, each of which has an id of the client's; and what therefore has to be in the table. */
export class WriteLedger {
  readonly #statuses = new Map<string, number>()
  readonly #settled: () => SettledEvent[]

  constructor (settled: () => SettledEvent[]) {
    this.#settled = settled
  }

  note (id: string, status: number): void {
    this.#statuses.set(id, status)
  }

  get verdicts (): Map<string, Verdict> {
    const events = new Map(this.#settled().map(event => [event.requestId, event]))
    return new Map([...this.#statuses].map(([id, status]) => [id, status < 400 ? 'acknowledged' : isInDoubt(events.get(id)) ? 'in doubt' : 'refused']))
  }

  /** What is wrong with the titles of a table, each of which is an id and a part. */
  compare (titles: string[]): string[] {
    const { verdicts } = this
    const parts = new Map<string, string[]>()
    for (const title of titles) {
      const [id, part] = title.split(' ') as [string, string]
      parts.set(id, [...parts.get(id) ?? [], part].sort())
    }
    const strangers = [...parts.keys()].filter(id => !verdicts.has(id)).map(id => `${id}: nobody has sent it`)
    return [...strangers, ...[...verdicts].flatMap(([id, verdict]) => {
      const written = parts.get(id) ?? []
      const isWhole = written.join() === PARTS.join()
      const isRight = verdict === 'acknowledged' ? isWhole : written.length === 0 || (verdict === 'in doubt' && isWhole)
      return isRight ? [] : [`${id} is ${verdict}, and there is: ${written.join() || 'nothing'}`]
    })]
  }
}

/** A database that refuses a commit has rolled back. */
function isInDoubt (event: SettledEvent | undefined): boolean {
  return event?.outcome === 'commitFailed' && !(event.error instanceof DeadlockException)
}

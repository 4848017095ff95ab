import type { ContextDescription } from '../../lib/context/context-description.ts'
import type { Outcome } from '../../lib/context/settlement.ts'
import type { Seen } from '../model/replay.ts'

/** What the parent asks the server. */
export type Question = 'heap' | 'report'

/** What the server tells its parent: without being asked, where it listens, which contexts have ended, and what it sees of requests. */
export type Message =
  | { type: 'listening', url: string }
  | { type: 'settled', contexts: SettledContext[] }
  | { type: 'seen', sights: Sighting[] }
  | { type: 'heap', bytes: number }
  | { type: 'report', problems: string[] }

/** What was seen of a request. */
export type Sighting = [request: string, seen: Seen]

export interface SettledContext {
  request: string
  kind: ContextDescription['kind']
  outcome: Outcome
}

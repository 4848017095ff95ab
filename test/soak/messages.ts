import type { ContextDescription } from '../../lib/context/events.ts'
import type { Outcome } from '../../lib/context/settlement.ts'

/** What the parent asks the server. */
export type Question = 'heap' | 'report'

/** What the server tells its parent: without being asked, where it listens and which contexts have ended. */
export type Message =
  | { type: 'listening', url: string }
  | { type: 'settled', contexts: SettledContext[] }
  | { type: 'heap', bytes: number }
  | { type: 'report', problems: string[] }

export interface SettledContext {
  request: string
  kind: ContextDescription['kind']
  outcome: Outcome
}

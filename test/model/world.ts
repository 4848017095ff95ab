import type { Fault } from './faults.ts'
import { START, type Position } from './position.ts'

/** What may happen in a world that is searched. */
export interface Plan {
  name: string
  /** Connections of the pool; `single` is that of SQLite, which nobody waits for who holds it. */
  pool: number
  isSingle?: boolean
  /** Each a request, or a branch of the context with that number. */
  contexts: ReadonlyArray<{ branchOf?: number, isLeftBehind?: boolean }>
  /** How often something goes wrong at most: aborts, timeouts, failures, connections that die. */
  mishaps: number
  /** What may be done besides writing and succeeding. `fail`: throws, and replies with an error status. */
  can: ReadonlySet<'fail' | 'hooks' | 'settle by hand' | 'retry' | 'timeout' | 'parallel' | 'savepoints' | 'streams' | 'hijack'>
}

/** A request, from the library's start of it to its release, or a branch. */
export interface ContextState {
  position: Position
  /** `unborn`: a branch that has not begun. `blocked`: it awaits its commit, rollback or hooks; `in statement`: a statement, from when it wants a connection. */
  work: 'unborn' | 'running' | 'blocked' | 'in statement' | 'in branch' | 'done'
  /** What its statement is: `late`: a write of an `em.transactional()` that was gone back from. */
  asks: 'none' | 'write' | 'late' | 'savepoint' | 'release' | 'go back'
  /** Its statement is on its way to the database, and not only waiting for its turn. */
  isSent: boolean
  /** A write that nobody awaits, from before the statement of the work. */
  beside: 'none' | 'waits' | 'sent'
  isBesideInside: boolean
  /**
   * `arrived`: it has a connection; `beginning`: `BEGIN` is on its way; `lost`: the connection has died, and nobody has noticed; `dead`: somebody
   * has, and it cannot go back to a savepoint.
   */
  transaction: 'none' | 'wanted' | 'arrived' | 'beginning' | 'open' | 'failed' | 'lost' | 'dead'
  holds: number
  /** Something is written in the transaction, and not committed. */
  hasWritten: boolean
  /** What an `em.transactional()` is. */
  savepoint: 'none' | 'open' | 'taken back'
  /** What is written inside of it. */
  inside: 'none' | 'written' | 'released' | 'kept'
  /** Something was written beside it while it was open. */
  hasForeignWrites: boolean
  /** Rows that are being read: in the transaction, or on a connection of their own. */
  rows: 'none' | 'in transaction' | 'outside'
  /** A reply that is a stream: `asks`: it wants rows, before its first chunk. */
  body: 'none' | 'waits' | 'asks' | 'ready' | 'flows'
  isHijacked: boolean
  /** A write that was accepted, or rows that were being read, are gone, and the work was not told. */
  hasLost: boolean
  /** The end of the transaction: `at server` is done there, and not answered; `ended`: by hand, and its hooks are not taken yet. */
  commit: 'none' | 'preparing' | 'sending' | 'sent' | 'at server' | 'answered' | 'refused' | 'in doubt' | 'ended'
  isByHand: boolean
  rollback: 'none' | 'wanted' | 'back'
  /** What comes after the outcome. */
  after: 'none' | 'telling' | 'hooks' | 'finishing' | 'finished'
  hooks: 'none' | 'registered' | 'prepared'
  /** A rollback by hand, or of a commit by hand that has failed before it was sent. */
  handRollback: 'none' | 'wanted'
  /** Which hooks of a commit or rollback by hand are to run before the work goes on. */
  handHooks: 'none' | 'afterCommit' | 'afterRollback' | 'taken'
  /** What was in the tables when the hooks were registered. */
  keptBeforeHooks: number
  /** A commit by hand has failed, which its caller is told. */
  hasFailedByHand: boolean
  /** The reply of a request, or the result of a branch. */
  reply: 'none' | 'success' | 'status' | 'failure' | 'in doubt'
  /** What the failed commit of its end has made of the reply, when hooks have run. */
  failedCommit: 'none' | 'failure' | 'in doubt'
  /** What its client knows, or the work around a branch. `by itself`: the work has answered, after `reply.hijack()`. */
  told: 'nothing' | 'by itself' | 'success' | 'failure' | 'in doubt' | 'broken'
  isGone: boolean
  /** What is in the tables: by its own end, and by hand. */
  kept: number
  keptByHand: number
  /** The work is to be run again when it is rolled back. */
  isRetrying: boolean
  attempt: number
  hasTimedOut: boolean
}

export interface World {
  free: number
  mishaps: number
  contexts: ContextState[]
}

/** What the rules go by. */
export interface Laws {
  plan: Plan
  /** Faults that were put into the model, to see that they are found. */
  faults: ReadonlySet<Fault>
}

export const FRESH: Readonly<ContextState> = {
  position: START,
  work: 'running',
  asks: 'none',
  isSent: false,
  beside: 'none',
  isBesideInside: false,
  transaction: 'none',
  holds: 0,
  hasWritten: false,
  savepoint: 'none',
  inside: 'none',
  hasForeignWrites: false,
  rows: 'none',
  body: 'none',
  isHijacked: false,
  hasLost: false,
  commit: 'none',
  isByHand: false,
  rollback: 'none',
  after: 'none',
  hooks: 'none',
  handRollback: 'none',
  handHooks: 'none',
  keptBeforeHooks: 0,
  hasFailedByHand: false,
  reply: 'none',
  failedCommit: 'none',
  told: 'nothing',
  isGone: false,
  kept: 0,
  keptByHand: 0,
  isRetrying: false,
  attempt: 1,
  hasTimedOut: false
}

export function firstWorld ({ pool, contexts }: Plan): World {
  return { free: pool, mishaps: 0, contexts: contexts.map(({ branchOf }) => ({ ...FRESH, work: branchOf === undefined ? 'running' : 'unborn' })) }
}

/** Of the contexts, only the one with that number is new: it can be changed. */
export function copy ({ free, mishaps, contexts }: World, changed: number): World {
  return { free, mishaps, contexts: contexts.with(changed, { ...contexts[changed]! }) }
}

/** Two worlds with the same key are the same. */
export function keyOf ({ free, mishaps, contexts }: World): string {
  let key = `${free} ${mishaps}`
  for (const context of contexts) key += `|${keyOfContext(context)}`
  return key
}

const FIELDS = Object.keys(FRESH).filter(field => field !== 'position') as Array<keyof ContextState>
const keys = new WeakMap<ContextState, string>()

function keyOfContext (context: ContextState): string {
  const known = keys.get(context)
  if (known !== undefined) return known
  let key = `${context.position.number}`
  for (const field of FIELDS) key += `,${SHORT.get(context[field]) ?? String(context[field])}`
  keys.set(context, key)
  return key
}

/** Keys of many states fill the memory. No field has two of these. */
const SHORT = new Map<unknown, string>([[false, ''], [true, '+'], [0, ''], ['none', ''], ['nothing', '']])

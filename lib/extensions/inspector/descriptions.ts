import type { ContextDescription, ContextState, Ending, Outcome, StatementKind } from '../../../index.ts'

/** What the inspector says as JSON. Times are in milliseconds; within a context, from its beginning on. */

export interface DescribedContext extends ContextDescription {
  /** Since 1970. */
  began: number
  state: ContextState
  isHolding: boolean
  isWaiting: boolean
  /** `undefined` until it has ended; of several databases, the worst. */
  outcome?: Outcome | undefined
  ending?: Ending | undefined
  error?: string | undefined
  duration: number
  heldMs: number
  waitedMs: number
  reads: number
  writes: number
  flushes: number
  attempts: number
  /** The status of the reply. */
  status?: number | undefined
  /** What stands out, the worst first. */
  problems: Problem[]
}

export interface DescribedInFull extends DescribedContext {
  statements: DescribedStatement[]
  calls: DescribedCall[]
  transactions: DescribedTransaction[]
  /** When the first byte of the reply was sent. */
  firstByte?: number | undefined
  /** When the reply was sent, or its client had gone. */
  closed?: number | undefined
  /** How many statements and calls are not kept, since there are too many. */
  leftOut: number
}

export interface DescribedStatement {
  kind: StatementKind
  database: string
  sql: string
  transaction?: number | undefined
  server: string
  replica: boolean
  sent: boolean
  /** When it was asked for: it has waited until it was sent. */
  asked: number
  waited: number
  duration: number
  rows?: number | undefined
  line?: string | undefined
  error?: string | undefined
  /** Who held connections while it waited. */
  waitedFor?: DescribedHolding[] | undefined
  /** How many of the same shape there are in the context, if that is more than one. */
  times?: number | undefined
}

export interface DescribedTransaction {
  number: number
  database: string
  /** What it was begun for. */
  sql?: string | undefined
  /** Where that was asked for. */
  line?: string | undefined
  began: number
  ended?: number | undefined
  end?: 'commit' | 'rollback' | undefined
}

/** A request to somebody else. */
export interface DescribedCall {
  method: string
  url: string
  started: number
  /** `undefined` while it has no answer. */
  duration?: number | undefined
  status?: number | undefined
  /** A transaction held a connection when it was made. */
  held: boolean
}

export interface Problem {
  kind: 'failed' | 'call-while-held' | 'held' | 'waited' | 'repeated' | 'slow'
  /** In words. */
  text: string
  /** The line to look at. */
  line?: string | undefined
}

/** Who holds a connection. */
export interface DescribedHolding {
  /** The id of the context. */
  context: number
  /** Its route or name. */
  label: string
  database: string
  /** `undefined` as long as its first statement runs. */
  transaction?: number | undefined
  /** What the transaction was begun for, and where. */
  sql?: string | undefined
  line?: string | undefined
  heldMs: number
}

export interface DescribedPool {
  database: string
  /** How many connections there may be, if that can be seen. */
  max?: number | undefined
  /** Those that transactions hold. */
  held: number
  /** Contexts that read outside of a transaction at the moment. */
  reading: number
  /** Contexts that wait for a connection. */
  waiting: number
  /** Of PostgreSQL, as its driver counts them: whoever uses the pool. */
  driver?: { open: number, idle: number, waiting: number } | undefined
  holders: DescribedHolding[]
}

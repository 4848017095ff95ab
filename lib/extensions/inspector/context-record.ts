import type { ContextDescription, ContextView, FailedEvent, SettledEvent, StatementEvent } from '../../../index.ts'
import type { DescribedCall, DescribedContext, DescribedHolding, DescribedInFull, DescribedStatement, DescribedTransaction } from './descriptions.ts'
import { problemsOf } from './problems.ts'
import type { Texts } from './texts.ts'

/** So many statements and calls are kept of one context. */
const MOST = 200

/** Of several databases, the worst counts. */
const OUTCOMES = ['untouched', 'committed', 'rolledBack', 'commitFailed']

/** What is known of one context. Of its own objects, it has nothing as soon as that has ended. */
export class ContextRecord {
  readonly description: ContextDescription
  /** Grows with each change of any record: see `Records`. */
  version = 0
  #view: ContextView | undefined
  readonly #texts: Texts
  /** By `performance.now()`. */
  readonly #started: number
  readonly #began: number
  readonly #statements: DescribedStatement[] = []
  readonly #shapes = new Map<string, { times: number, line: string | undefined }>()
  readonly #shapeOf = new WeakMap<DescribedStatement, string>()
  readonly #calls: DescribedCall[] = []
  readonly #transactions: DescribedTransaction[] = []
  readonly #failures: string[] = []
  readonly #settled: SettledEvent[] = []
  #attempts: number
  #leftOut = 0
  #firstByte: number | undefined
  #closed: number | undefined
  #status: number | undefined
  #ended: number | undefined

  constructor (view: ContextView, texts: Texts, started: number) {
    const { id, kind, method, route, name, requestId, attempts } = view
    this.description = { id, kind, method, route, name, requestId }
    this.#attempts = attempts
    this.#view = view
    this.#texts = texts
    this.#started = started
    this.#began = Math.round(performance.timeOrigin + started)
  }

  /** As one would call it. */
  get label (): string {
    const { kind, method, route, name } = this.description
    return kind === 'request' ? `${method} ${route ?? '(no route)'}` : String(name)
  }

  get isEnded (): boolean {
    return this.#settled.length > 0
  }

  /** It has not gone as it should. */
  get standsOut (): boolean {
    const { problems, outcome } = this.describe([])
    return problems.length > 0 || outcome !== 'committed'
  }

  /** Nobody will tell of its end any more. */
  get isForgotten (): boolean {
    return this.#view?.state === 'ended'
  }

  /** It has used a database, or is about to. */
  get isTouched (): boolean {
    return this.isEnded || this.#statements.length > 0 || this.isWaiting || this.isHolding || this.#view!.reads + this.#view!.writes > 0
  }

  /** A statement, as it may be shown. */
  shown (sql: string, database: string): string {
    return this.#texts.shown(sql, database)
  }

  get isHolding (): boolean {
    return this.#view?.isHolding === true
  }

  get isReading (): boolean {
    return this.#view?.state === 'reading' && !this.#view.isWaiting
  }

  get isWaiting (): boolean {
    return this.#view?.isWaiting === true
  }

  get heldMs (): number {
    return this.#view?.heldMs ?? this.#sum('held')
  }

  /** Of the connection that it holds, as long as no more is known of that. */
  describeHolding (): DescribedHolding {
    return { context: this.description.id, label: this.label, database: this.#statements.at(-1)?.database ?? 'default', heldMs: this.heldMs }
  }

  /** As far as is known: before its first statement has ended, it may be any. */
  uses (database: string): boolean {
    return this.#statements.length === 0 || this.#statements.some(statement => statement.database === database)
  }

  begin (transaction: number, database: string, started: number): void {
    if (this.#transactions.length < MOST) this.#transactions.push({ number: transaction, database, began: this.#at(started) })
  }

  explain (transaction: number, sql: string | undefined, line: string | undefined): void {
    const known = this.#transactions.findLast(({ number }) => number === transaction)
    if (known !== undefined) Object.assign(known, { sql: sql && this.shown(sql, known.database), line })
  }

  addStatement (event: StatementEvent, waitedFor: DescribedHolding[] | undefined): void {
    const { kind, database, sql, transaction, server, replica, sent, started, waited, duration, rows, line, error } = event
    if (kind === 'commit' || kind === 'rollback') {
      const known = this.#transactions.findLast(({ number }) => number === transaction)
      if (known !== undefined) Object.assign(known, { ended: this.#at(started + duration), end: kind })
    }
    const shape = this.#texts.shape(sql, database)
    if (kind === 'read' || kind === 'write') this.#count(shape, line)
    if (this.#statements.length === MOST) {
      this.#leftOut++
      return
    }
    const statement: DescribedStatement = {
      kind, database, sql: this.#texts.shown(sql, database, shape), transaction, server, replica, sent, asked: this.#at(started - waited), waited, duration, rows, line, error: this.#texts.error(error), waitedFor
    }
    this.#statements.push(statement)
    this.#shapeOf.set(statement, shape)
  }

  #count (shape: string, line: string | undefined): void {
    const known = this.#shapes.get(shape)
    if (known !== undefined) known.times++
    else if (this.#shapes.size < MOST) this.#shapes.set(shape, { times: 1, line })
  }

  /** Gives what is to be called when the call has ended. */
  addCall (method: string, url: string, now: number): ((status?: number) => void) | undefined {
    if (this.#calls.length === MOST) {
      this.#leftOut++
      return undefined
    }
    const call: DescribedCall = { method, url: this.#texts.url(url), started: this.#at(now), held: this.isHolding }
    this.#calls.push(call)
    return status => Object.assign(call, { duration: this.#at(performance.now()) - call.started, status })
  }

  addFailure ({ message, error }: FailedEvent): void {
    if (this.#failures.length < MOST) this.#failures.push(`${message}: ${this.#texts.error(error)}`)
  }

  noteFirstByte (status: number): void {
    this.#firstByte ??= this.#at(performance.now())
    this.#status = status
  }

  noteClosed (): void {
    this.#closed = this.#at(performance.now())
  }

  /** It has ended on one of its databases: nothing of it is kept. */
  settle ({ error, ...event }: SettledEvent): void {
    this.#settled.push({ ...event, error: this.#texts.error(error) })
    this.#attempts = event.attempts
    this.#ended ??= this.#at(performance.now())
    this.#view = undefined
  }

  describe (now: DescribedHolding[]): DescribedContext {
    const view = this.#view
    const { outcome, ending, error } = this.#settled.toSorted((a, b) => OUTCOMES.indexOf(b.outcome) - OUTCOMES.indexOf(a.outcome))[0] ?? {}
    return {
      ...this.description,
      began: this.#began,
      state: view?.state ?? 'ended',
      isHolding: this.isHolding,
      isWaiting: this.isWaiting,
      outcome,
      ending,
      error: error as string | undefined,
      duration: this.#ended ?? this.#at(performance.now()),
      heldMs: this.heldMs,
      waitedMs: view?.waitedMs ?? this.#sum('waited'),
      reads: view?.reads ?? this.#sum('reads'),
      writes: view?.writes ?? this.#sum('writes'),
      flushes: this.#sum('flushes'),
      attempts: this.#attempts,
      status: this.#status,
      problems: problemsOf({
        statements: this.#statements,
        calls: this.#calls,
        transactions: this.#transactions,
        shapes: this.#shapes,
        failures: this.#failures,
        heldMs: this.heldMs,
        waitingMs: this.isWaiting ? view!.waitedMs : 0,
        holders: now.filter(({ context }) => context !== this.description.id)
      })
    }
  }

  describeInFull (now: DescribedHolding[]): DescribedInFull {
    const withTimes = (statement: DescribedStatement): DescribedStatement => {
      const times = this.#shapes.get(this.#shapeOf.get(statement)!)?.times ?? 1
      return times > 1 ? { ...statement, times } : statement
    }
    return {
      ...this.describe(now),
      statements: this.#statements.map(withTimes).sort(bySending),
      calls: this.#calls,
      transactions: this.#transactions,
      firstByte: this.#firstByte,
      closed: this.#closed,
      leftOut: this.#leftOut
    }
  }

  #at (time: number): number {
    return time - this.#started
  }

  #sum (what: 'held' | 'waited' | 'reads' | 'writes' | 'flushes'): number {
    return this.#settled.reduce((sum, event) => sum + event[what], 0)
  }
}

/** A `begin` that travels with a statement is told of first, and stays so. */
function bySending (a: DescribedStatement, b: DescribedStatement): number {
  return (a.asked + a.waited) - (b.asked + b.waited)
}

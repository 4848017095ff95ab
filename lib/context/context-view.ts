import type { ContextDescription } from './context-description.ts'

/**
 * What a context does at the moment.
 *
 * - `idle`: nothing has been asked of a database, or all is answered. It holds no connection.
 * - `reading`: reads run outside of a transaction, or wait for a connection.
 * - `held`: a transaction holds a connection.
 * - `settling`: it commits or rolls back, also by hand, or the hooks after its end run.
 * - `ended`: it is settled, and all its connections are back.
 */
export type ContextState = 'idle' | 'reading' | 'held' | 'settling' | 'ended'

/**
 * One context, as others may see it: always as it is at the moment, also after its end. The same object for the same context. With
 * several databases, numbers are sums, and of several states the last of `idle`, `reading` and `held` counts.
 */
export interface ContextView extends ContextDescription {
  readonly state: ContextState
  /** A transaction holds a connection, also while it is `settling`. */
  readonly isHolding: boolean
  /** Something waits for a connection. */
  readonly isWaiting: boolean
  /** Milliseconds for which transactions have held a connection, that of the present one included. */
  readonly heldMs: number
  /** Milliseconds for which statements have waited for a connection, all together, those included that still do. */
  readonly waitedMs: number
  /** Statements that begin with `select`. */
  readonly reads: number
  /** All others, without those that begin and end transactions and savepoints. */
  readonly writes: number
  /** Which attempt at its work it is: 1, unless that has `retry`. */
  readonly attempts: number
  /** The same, as it is now, for JSON. */
  toJSON (): Omit<ContextView, 'toJSON'>
}

export type ContextActivity = Pick<ContextView, 'state' | 'isHolding' | 'isWaiting'>
export type ContextNumbers = Pick<ContextView, 'heldMs' | 'waitedMs' | 'reads' | 'writes'>

interface Viewed {
  readonly description: ContextDescription
  readonly activity: ContextActivity
  readonly numbers: ContextNumbers
  readonly attempts: { readonly count: number } | undefined
}

/** Makes what others see of a context. */
export function viewOf (context: Viewed): ContextView {
  return new LiveView(context)
}

class LiveView implements ContextView {
  readonly id: number
  readonly kind: ContextView['kind']
  readonly method: ContextView['method']
  readonly route: ContextView['route']
  readonly name: ContextView['name']
  readonly requestId: ContextView['requestId']
  readonly attempts: number
  readonly #context: Viewed

  constructor (context: Viewed) {
    const { id, kind, method, route, name, requestId } = context.description
    this.id = id
    this.kind = kind
    this.method = method
    this.route = route
    this.name = name
    this.requestId = requestId
    this.attempts = context.attempts?.count ?? 1
    this.#context = context
  }

  get state (): ContextState {
    return this.#context.activity.state
  }

  get isHolding (): boolean {
    return this.#context.activity.isHolding
  }

  get isWaiting (): boolean {
    return this.#context.activity.isWaiting
  }

  get heldMs (): number {
    return this.#context.numbers.heldMs
  }

  get waitedMs (): number {
    return this.#context.numbers.waitedMs
  }

  get reads (): number {
    return this.#context.numbers.reads
  }

  get writes (): number {
    return this.#context.numbers.writes
  }

  toJSON (): Omit<ContextView, 'toJSON'> {
    return { ...this, ...this.#context.activity, ...this.#context.numbers }
  }
}

/** How a context ended. One that used a database and only read is `committed`. */
export type Outcome = 'untouched' | 'committed' | 'rolledBack' | 'commitFailed'

/** What caused the outcome: see the table of endings in docs/observing.md. */
export type Ending = 'reply' | 'status' | 'error' | 'abort' | 'close' | 'return' | 'throw'

/** Where a context is on its way. In those that are `closed`, nobody reads from it any more when it has settled. */
export type State =
  'unused' | 'open' | 'deciding' | 'ended' | 'settled' | 'open, closed' | 'deciding, closed' | 'ended, closed' | 'released'

/**
 * - `use`: a database is used for the first time.
 * - `skip`: nothing was used, and nothing will be.
 * - `decide`: everything is flushed, and the commit begins. From here on nothing overtakes it.
 * - `commit`, `fail`: the commit has succeeded, or failed.
 * - `rollback`: the context ends without a commit.
 * - `finish`: the hooks after the end have run, and the connections are back.
 * - `close`: nobody reads from it any more: a response has closed, a function has returned.
 */
export type SettlementEvent = 'use' | 'skip' | 'decide' | 'commit' | 'fail' | 'rollback' | 'finish' | 'close'

/** Which event leads where. What a state does not name changes nothing: whoever comes late is told so, and has no say. */
export const TABLE: Readonly<Record<State, Readonly<Partial<Record<SettlementEvent, State>>>>> = {
  unused: { use: 'open', skip: 'settled' },
  open: { decide: 'deciding', rollback: 'ended', close: 'open, closed' },
  deciding: { commit: 'ended', fail: 'ended', close: 'deciding, closed' },
  ended: { finish: 'settled', close: 'ended, closed' },
  settled: { close: 'released' },
  'open, closed': { decide: 'deciding, closed', rollback: 'ended, closed' },
  'deciding, closed': { commit: 'ended, closed', fail: 'ended, closed' },
  'ended, closed': { finish: 'released' },
  released: {}
}

/** What an event makes of a context that it ends. */
const OUTCOMES: Partial<Record<SettlementEvent, Outcome>> = {
  skip: 'untouched', commit: 'committed', fail: 'commitFailed', rollback: 'rolledBack'
}

/** How one piece of work ends: once, with one outcome, whichever of its endings comes first. */
export class Settlement {
  #state: State = 'unused'
  #ending: Ending | undefined
  #outcome: Outcome | undefined

  get state (): State {
    return this.#state
  }

  /** From when it is decided. */
  get ending (): Ending | undefined {
    return this.#ending
  }

  /** From when nothing can change it any more. */
  get outcome (): Outcome | undefined {
    return this.#outcome
  }

  /** Has used a database, and nothing has ended it yet. */
  get isInUse (): boolean {
    return this.#state === 'open' || this.#state === 'open, closed'
  }

  /** Ended by an error or a disconnect, so a reply that was being prepared must not be sent. */
  get isOvertaken (): boolean {
    return this.#ending === 'error' || this.isAborted
  }

  /** Was ended because nobody waits for it any more. */
  get isAborted (): boolean {
    return this.#ending === 'abort' || this.#ending === 'close'
  }

  get isReleased (): boolean {
    return this.#state === 'released'
  }

  /** Tells it of an event. Returns whether that has changed anything. */
  advance (event: SettlementEvent, ending?: Ending): boolean {
    const next = TABLE[this.#state][event]
    if (next === undefined) return false
    this.#state = next
    this.#ending ??= ending
    this.#outcome ??= OUTCOMES[event]
    return true
  }
}

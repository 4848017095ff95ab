/** What became of a context. One that used a database and only read is `committed`. */
export type Outcome = 'untouched' | 'committed' | 'rolledBack' | 'commitFailed'

/** What caused the outcome: see the table of endings in the README. */
export type Ending = 'reply' | 'status' | 'error' | 'abort' | 'close' | 'return' | 'throw'

/** Where a context is on its way. In those that are `left`, nobody reads from it any more when it has settled. */
export type State =
  'unused' | 'open' | 'deciding' | 'ended' | 'settled' | 'open, left' | 'deciding, left' | 'ended, left' | 'released'

/**
 * - `use`: a database is used for the first time.
 * - `leave`: nothing was used, and nothing will be.
 * - `decide`: all is flushed, and the commit sets out. From here on nothing overtakes it.
 * - `commit`, `fail`: it has come to its end.
 * - `rollback`: the context ends without a commit.
 * - `finish`: the hooks after the end have run, and the connections are back.
 * - `close`: nobody is there any more to read from it: a response has closed, a function has returned.
 */
export type SettlementEvent = 'use' | 'leave' | 'decide' | 'commit' | 'fail' | 'rollback' | 'finish' | 'close'

/** Which event leads where. What a state does not name changes nothing: whoever comes late is told so, and has no say. */
export const TABLE: Readonly<Record<State, Readonly<Partial<Record<SettlementEvent, State>>>>> = {
  unused: { use: 'open', leave: 'settled' },
  open: { decide: 'deciding', rollback: 'ended', close: 'open, left' },
  deciding: { commit: 'ended', fail: 'ended', close: 'deciding, left' },
  ended: { finish: 'settled', close: 'ended, left' },
  settled: { close: 'released' },
  'open, left': { decide: 'deciding, left', rollback: 'ended, left' },
  'deciding, left': { commit: 'ended, left', fail: 'ended, left' },
  'ended, left': { finish: 'released' },
  released: {}
}

/** What an event makes of a context that it ends. */
const OUTCOMES: Partial<Record<SettlementEvent, Outcome>> = {
  leave: 'untouched', commit: 'committed', fail: 'commitFailed', rollback: 'rolledBack'
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
    return this.#state === 'open' || this.#state === 'open, left'
  }

  /** Was ended by what an answer that was on its way cannot know of. */
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

import type { ContextView } from '../../../index.ts'
import { ContextRecord } from './context-record.ts'
import type { DescribedContext, DescribedHolding, DescribedInFull } from './descriptions.ts'
import { Holdings } from './holdings.ts'
import type { Texts } from './texts.ts'

/** So many contexts are kept. Those that have not ended stay; there are as many as the app has anyway. */
export const MOST_CONTEXTS = 200
/** So many of them may be those that stand out: with 500 requests a second, others would push them out before anybody has seen them. */
export const MOST_STANDING_OUT = 50

/** What is known of the last contexts. */
export class Records {
  readonly holdings: Holdings = new Holdings()
  /** That of the newest change. */
  version = 0
  readonly #texts: Texts
  readonly #live = new Map<number, ContextRecord>()
  /** In the order in which they have ended. */
  readonly #ordinary = new Map<number, ContextRecord>()
  readonly #standingOut = new Map<number, ContextRecord>()

  constructor (texts: Texts) {
    this.#texts = texts
  }

  get live (): Iterable<ContextRecord> {
    return this.#live.values()
  }

  /** Somebody has used a database. */
  get isTouched (): boolean {
    return this.version > 0 || [...this.#live.values()].some(({ isTouched }) => isTouched)
  }

  find (id: number): ContextRecord | undefined {
    return this.#live.get(id) ?? this.#ordinary.get(id) ?? this.#standingOut.get(id)
  }

  /** Who holds connections, the longest first. Of a transaction whose first statement runs, nothing was told yet. */
  holders (): DescribedHolding[] {
    const told = this.holdings.now()
    const untold = [...this.#live.values()].filter(record => record.isHolding && !told.some(({ context }) => context === record.description.id))
    return [...told, ...untold.map(record => record.describeHolding())].sort((a, b) => b.heldMs - a.heldMs)
  }

  /** That of a context, which begins with `started` if nothing is known of it. */
  of (view: ContextView, started: number = performance.now()): ContextRecord {
    const known = this.find(view.id)
    if (known !== undefined) return known
    const record = new ContextRecord(view, this.#texts, started)
    this.#live.set(view.id, record)
    return record
  }

  change (record: ContextRecord): void {
    record.version = ++this.version
  }

  /** It has ended. */
  end (record: ContextRecord): void {
    const { id } = record.description
    if (this.#live.delete(id)) (record.standsOut ? this.#standingOut : this.#ordinary).set(id, record)
    this.change(record)
    for (const live of this.#live.values()) if (live.isForgotten) this.drop(live) // a stream that went on after its context had fallen out
    deleteOldest(this.#standingOut, this.#standingOut.size - MOST_STANDING_OUT)
    deleteOldest(this.#ordinary, this.#live.size + this.#ordinary.size + this.#standingOut.size - MOST_CONTEXTS)
  }

  /** It has used no database, and never will. */
  drop (record: ContextRecord): void {
    this.#live.delete(record.description.id)
  }

  /** Those that have changed since that version, and those that change all the time; the newest last. */
  describe (since = 0): DescribedContext[] {
    const now = this.holders()
    const changed = [...this.#ordinary.values(), ...this.#standingOut.values()].filter(({ version }) => version > since)
    const shown = [...changed, ...[...this.#live.values()].filter(({ isTouched }) => isTouched)]
    return shown.map(record => record.describe(now)).sort((a, b) => a.id - b.id)
  }

  describeInFull (id: number): DescribedInFull | undefined {
    const record = this.find(id)
    return record?.isTouched === true ? record.describeInFull(this.holders()) : undefined
  }
}

function deleteOldest (records: Map<number, ContextRecord>, count: number): void {
  let left = count
  for (const id of records.keys()) {
    if (left-- <= 0) return
    records.delete(id)
  }
}

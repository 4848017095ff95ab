import { Replay, type Seen } from '../model/replay.ts'
import type { Plan } from '../model/world.ts'
import type { Part } from './entities.ts'
import type { Ending, Ledger } from './ledger.ts'
import type { Sighting } from './messages.ts'

/**
 * What requests do, in terms of the model, as far as it can be told from their events and replies alone. Any may fail: its connection is
 * killed.
 */
const FAILING: Plan['can'] = new Set(['fail'])
const ALONE = { contexts: [{}], can: FAILING }
const PLANS: Partial<Record<Ending, Pick<Plan, 'contexts' | 'can'>>> = {
  success: ALONE,
  throw: ALONE,
  status: ALONE,
  unique: ALONE,
  abort: ALONE,
  timeout: { contexts: [{}], can: new Set(['fail', 'timeout']) },
  branch: { contexts: [{}, { branchOf: 0 }], can: FAILING }
}

/** Holds what is seen of requests against the model of settling. What their work does, and what reaches the database, nobody notes here. */
export class Traces {
  readonly #traces = new Map<string, Seen[]>()
  readonly #replays = new Map<Ending, Replay>()
  /** Many look alike. */
  readonly #judged = new Map<string, string | undefined>()

  readonly note = (...[request, seen]: Sighting): void => {
    const trace = this.#traces.get(request)
    if (trace === undefined) this.#traces.set(request, [seen])
    else trace.push(seen)
  }

  /** What the model has no step for, or other `rows`. */
  findStrange (ledger: Ledger, rows: Array<{ request: string, part: Part }>): { held: number, kinds: number, strange: string[] } {
    const rowsOf = Map.groupBy(rows, ({ request }) => request)
    const strange = new Set<string>()
    let held = 0
    for (const [request, trace] of this.#traces) {
      const ending = ledger.endingOf(request)
      if (ending === undefined || PLANS[ending] === undefined) continue
      held++
      const kept = new Set(rowsOf.get(request)?.map(({ part }) => part === 'branch' ? 1 : 0))
      const kind = JSON.stringify([ending, trace, [...kept].sort()])
      if (!this.#judged.has(kind)) this.#judged.set(kind, this.#replayOf(ending).findStrange(trace, (context, isInside) => !isInside && kept.has(context as 0 | 1)))
      const found = this.#judged.get(kind)
      if (found !== undefined) strange.add(`${ending}: ${found}`)
    }
    return { held, kinds: this.#judged.size, strange: [...strange] }
  }

  #replayOf (ending: Ending): Replay {
    let replay = this.#replays.get(ending)
    if (replay === undefined) {
      replay = new Replay({ name: ending, pool: 2, mishaps: 3, ...PLANS[ending]! }, isSeen)
      this.#replays.set(ending, replay)
    }
    return replay
  }
}

function isSeen (context: number, sight: Seen['sight']): boolean {
  return sight === 'begun' || sight.startsWith('settled') || (context === 0 && (sight === 'closed' || sight.startsWith('told')))
}

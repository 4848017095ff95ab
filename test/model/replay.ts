import { isFinished } from './invariants.ts'
import { stepsFrom } from './search.ts'
import type { Sight, Step } from './step.ts'
import { firstWorld, keyOf, type Laws, type Plan, type World } from './world.ts'

/** What was seen of a context, by its number in the plan. */
export interface Seen {
  context: number
  sight: Sight
}

/** What is in the tables of a context in the end, or of what it has written in an `em.transactional()`. */
type Kept = (context: number, isInside: boolean) => boolean

/**
 * Holds what was seen against the model: is there a way through it on which just that is seen, in this order? Where several worlds look alike
 * from outside, all of them are followed.
 */
export class Replay {
  readonly #laws: Laws
  readonly #isSeen: (context: number, sight: Sight) => boolean
  /** By the key of a world: what may happen next. */
  readonly #known = new Map<string, Step[]>()

  constructor (plan: Plan, isSeen: (context: number, sight: Sight) => boolean) {
    this.#laws = { plan, faults: new Set() }
    this.#isSeen = isSeen
  }

  /** What the model has no step for; `undefined` if it has one for everything. */
  findStrange (trace: readonly Seen[], kept: Kept): string | undefined {
    let worlds = this.#withUnseen([firstWorld(this.#laws.plan)])
    for (const [i, seen] of trace.entries()) {
      const next = worlds.flatMap(world => this.#stepsFrom(world).filter(step => this.#shows(step, seen)).map(step => step.next))
      if (next.length === 0) return `${describe(seen)} is no step of the model after ${trace.slice(0, i).map(describe).join(', ') || 'nothing'}. There are: ${this.#sightsOf(worlds).join(', ') || 'none'}`
      worlds = this.#withUnseen(next)
    }
    const ends = worlds.filter(isFinished)
    if (ends.length === 0) return `${trace.map(describe).join(', ')}: something is left to be done`
    const isKept = ({ contexts }: World): boolean => contexts.every((context, i) => (
      (context.kept + context.keptByHand > 0) === kept(i, false) && (context.inside === 'kept') === kept(i, true)))
    return ends.some(isKept) ? undefined : `${trace.map(describe).join(', ')}: the model has other rows in the tables`
  }

  /** With those that are reached by what cannot be seen. */
  #withUnseen (worlds: World[]): World[] {
    const all = new Map(worlds.map(world => [keyOf(world), world]))
    for (const world of all.values()) {
      for (const step of this.#stepsFrom(world)) {
        const key = keyOf(step.next)
        if (!this.#shows(step) && !all.has(key)) all.set(key, step.next)
      }
    }
    return [...all.values()]
  }

  #stepsFrom (world: World): Step[] {
    const key = keyOf(world)
    let steps = this.#known.get(key)
    if (steps === undefined) this.#known.set(key, steps = stepsFrom(world, this.#laws))
    return steps
  }

  /** Whether a step can be seen, or is what was `seen`. */
  #shows ({ context, sight }: Step, seen?: Seen): boolean {
    if (sight === undefined || !this.#isSeen(context, sight)) return false
    return seen === undefined || (seen.context === context && asSeen(seen.sight) === asSeen(sight))
  }

  #sightsOf (worlds: World[]): string[] {
    const sights = worlds.flatMap(world => this.#stepsFrom(world).filter(step => this.#shows(step)).map(({ context, sight }) => describe({ context, sight: sight! })))
    return [...new Set(sights)]
  }
}

/** To a client, a commit in doubt is an error as any other. */
function asSeen (sight: Sight): Sight {
  return sight === 'told in doubt' ? 'told failure' : sight
}

function describe ({ context, sight }: Seen): string {
  return `${context}: ${sight}`
}

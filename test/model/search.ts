import type { Invariant } from './faults.ts'
import { findInStep, findInWorld, isFinished, whyStuck, type Violation } from './invariants.ts'
import { RULES } from './rules/all.ts'
import type { Step } from './step.ts'
import { firstWorld, keyOf, type Laws, type World } from './world.ts'

export interface Found {
  states: number
  steps: number
  /** What violates an invariant, and the shortest way there. */
  violation?: Violation & { way: string[] }
}

export function stepsFrom (world: World, laws: Laws): Step[] {
  return world.contexts.flatMap((_, number) => RULES.flatMap(rule => rule(world, number, laws)))
}

/** Goes through every world that can be reached, the nearest first, until an invariant is violated: any, or the one that is watched. */
export function search (laws: Laws, watched?: Invariant): Found {
  const isWatched = (violation: Violation | undefined): violation is Violation => violation !== undefined && (watched ?? violation.invariant) === violation.invariant
  const first = firstWorld(laws.plan)
  const numbers = new Map<string, number>([[keyOf(first), 0]])
  const origins: Array<{ from: number, step: string } | undefined> = [undefined]
  /** By which worlds one is reached without a mishap. */
  const before: number[][] = [[]]
  const goesOn = new Set<number>()
  const finished: number[] = []
  const worlds: World[] = [first]
  let steps = 0
  let [present, next]: [Array<[number, World]>, Array<[number, World]>] = [[[0, first]], []]
  const wayTo = (number: number): string[] => {
    const way: string[] = []
    for (let origin = origins[number]; origin !== undefined; origin = origins[origin.from]) way.unshift(origin.step)
    return way
  }
  for (; present.length > 0; [present, next] = [next, []]) {
    for (const [from, world] of present) {
      if (isFinished(world)) finished.push(from)
      for (const step of stepsFrom(world, laws)) {
        steps++
        const key = keyOf(step.next)
        let to = numbers.get(key)
        const violation = [findInStep(world, step), ...to === undefined ? findInWorld(step.next, laws.plan) : []].find(isWatched)
        if (violation !== undefined) return { states: numbers.size, steps, violation: { ...violation, way: [...wayTo(from), nameOf(step)] } }
        if (to === undefined) {
          numbers.set(key, to = numbers.size)
          origins.push({ from, step: nameOf(step) })
          before.push([])
          worlds.push(step.next)
          next.push([to, step.next])
        }
        if (step.isMishap || to === from) continue
        before[to]!.push(from)
        goesOn.add(from)
      }
    }
  }
  const stuck = thoseThatCannotReach(finished, before)
  const dead = stuck.find(number => !goesOn.has(number)) ?? stuck[0]
  if (dead === undefined) return { states: numbers.size, steps }
  return { states: numbers.size, steps, violation: { ...whyStuck(worlds[dead]!), way: wayTo(dead) } }
}

function nameOf ({ context, name }: Step): string {
  return `${context}: ${name}`
}

/** Of a world from which nothing leads to the end unless something goes wrong, somebody waits for ever. */
function thoseThatCannotReach (ends: number[], before: number[][]): number[] {
  const canReach = new Set(ends)
  for (const number of canReach) for (const from of before[number]!) canReach.add(from)
  return [...before.keys()].filter(number => !canReach.has(number))
}

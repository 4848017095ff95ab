import { median, ratioOf, showRatio } from './ratios.ts'
import type { Goal } from './result.ts'
import type { Sample } from './rounds.ts'
import type { Statements } from './database.ts'
import type { VariantName } from './variants/variants.ts'

/** The median of the ratios of a figure, round by round. */
export interface GoalOfRatio {
  figure: 'rate' | 'cpuMicroseconds'
  of: VariantName
  to: VariantName
  atLeast?: number
  atMost?: number
}

/** The median of the differences of a figure, round by round. */
export interface GoalOfDifference {
  /** Such as `CPU µs of a read with the plugin`. */
  what: string
  atMost: number
}

/** What a request sends to the database, no more and no less. */
export interface GoalOfStatements {
  of: VariantName
  statements: Statements
}

/** How often a request waits for its database. */
export interface GoalOfRoundTrips {
  what: string
  exactly: number
}

const FIGURES = { rate: 'requests per second', cpuMicroseconds: 'CPU per request' }

export function checkRatio ({ figure, of, to, atLeast = 0, atMost = Infinity }: GoalOfRatio, samples: Map<VariantName, Sample[]>): Goal {
  const figures = (name: VariantName): number[] => samples.get(name)!.map(sample => sample[figure])
  const ratio = ratioOf(figures(of), figures(to))
  return {
    goal: `${FIGURES[figure]} of ${of} ${atMost < Infinity ? 'at most' : 'at least'} ${atMost < Infinity ? atMost : atLeast} of those of ${to}`,
    measured: showRatio(ratio),
    isReached: ratio.median >= atLeast && ratio.median <= atMost
  }
}

export function checkDifference ({ what, atMost }: GoalOfDifference, differences: number[]): Goal {
  const middle = median(differences)
  return {
    goal: `${what}: at most ${atMost} more`,
    measured: `${middle.toFixed(1)} (${Math.min(...differences).toFixed(1)} to ${Math.max(...differences).toFixed(1)})`,
    isReached: middle <= atMost
  }
}

export function checkRoundTrips ({ what, exactly }: GoalOfRoundTrips, measured: number): Goal {
  return { goal: `${what}: ${exactly}`, measured: String(Number(measured.toFixed(3))), isReached: Number(measured.toFixed(3)) === exactly }
}

export function checkStatements ({ of, statements }: GoalOfStatements, samples: Map<VariantName, Sample[]>): Goal {
  const wanted = showStatements(statements)
  const seen = [...new Set(samples.get(of)!.map(sample => showStatements(sample.statements)))]
  return { goal: `a request of ${of} sends ${wanted}`, measured: seen.join('; '), isReached: seen.every(each => each === wanted) }
}

/** As `begin, commit, 2 select`. */
export function showStatements (statements: Statements): string {
  const kinds = Object.entries(statements).toSorted(([a], [b]) => a < b ? -1 : 1)
  return kinds.map(([kind, count]) => count === 1 ? kind : `${Number(count.toFixed(3))} ${kind}`).join(', ') || 'nothing'
}

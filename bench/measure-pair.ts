import type { EngineName, Statements } from './database.ts'
import type { Load } from './driver.ts'
import type { Bench } from './environment.ts'
import { checkRatio, checkStatements, showStatements } from './goals.ts'
import { columnsOf, pairCells, pairHead } from './pair-table.ts'
import type { Goal, Result } from './result.ts'
import { countSteps, measureInTurn, type Sample } from './rounds.ts'
import type { VariantName } from './variants/variants.ts'

const POOL = 10

export interface Step {
  title: string
  load: Load
  /** What a request sends with it. */
  statements: Record<EngineName, Statements>
  /** CPU with it, to that without. */
  atMost?: number
}

/** Something that is asked for, beside the same without it. */
export interface Pair {
  title: string
  without: VariantName
  with: VariantName
  steps: Step[]
}

/** What it costs those who use it, and those who do not. */
export async function measurePair (bench: Bench, { title, without, with: withIt, steps }: Pair): Promise<Result> {
  const race = { variants: [without, withIt], pool: POOL, loads: steps.map(({ load }) => load) }
  bench.progress.start(title, countSteps(bench, race))
  const samples = await measureInTurn(bench, race)
  return {
    title,
    table: [
      ['a request', ...pairHead('without', 'with'), 'statements'],
      ...steps.map(({ title }, i) => [title, ...pairCells(samples[i]![0]!, samples[i]![1]!), showStatements(samples[i]![1]!.at(-1)!.statements)])
    ],
    goals: steps.flatMap((step, i) => goalsOf(step, step.statements[bench.database.engine], new Map([[without, samples[i]![0]!], [withIt, samples[i]![1]!]]), without, withIt)),
    data: Object.fromEntries(steps.map(({ title }, i) => [title, { without: columnsOf(samples[i]![0]!), with: columnsOf(samples[i]![1]!) }]))
  }
}

function goalsOf ({ title, atMost }: Step, statements: Statements, samples: Map<VariantName, Sample[]>, without: VariantName, withIt: VariantName): Goal[] {
  const goals = [
    checkStatements({ of: withIt, statements }, samples),
    ...atMost === undefined ? [] : [checkRatio({ figure: 'cpuMicroseconds', of: withIt, to: without, atMost }, samples)]
  ]
  return goals.map(goal => ({ ...goal, goal: `${title}: ${goal.goal}` }))
}

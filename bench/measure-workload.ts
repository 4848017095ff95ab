import type { Bench } from './environment.ts'
import { checkRatio, checkStatements, showStatements } from './goals.ts'
import { median, ratioOf, showRatio } from './ratios.ts'
import type { Result } from './result.ts'
import { countSteps, measureInTurn, type Sample } from './rounds.ts'
import type { VariantName } from './variants/variants.ts'
import type { Workload } from './workloads.ts'

/** The variants of a workload in turn, compared with MikroORM's recipe. */
export async function measureWorkload (bench: Bench, { title, load, pool, variants, goals }: Workload): Promise<Result> {
  const race = { variants, pool, loads: [load] }
  bench.progress.start(title, countSteps(bench, race))
  const [all] = await measureInTurn(bench, race)
  const samples = new Map(variants.map((variant, i) => [variant, all![i]!]))
  return {
    title,
    table: [
      ['', 'requests/s', 'to the recipe', 'CPU µs', 'to the recipe', 'p50 ms', 'p99 ms', 'held ms', 'statements'],
      ...variants.map(variant => row(variant, samples.get(variant)!, samples.get('recipe')!))
    ],
    goals: goals.map(goal => 'figure' in goal ? checkRatio(goal, samples) : checkStatements(goal, samples)),
    data: Object.fromEntries(variants.map(variant => [variant, columns(samples.get(variant)!)]))
  }
}

function row (variant: VariantName, samples: Sample[], recipe: Sample[]): string[] {
  const of = (figure: Figure, digits: number): string => median(samples.map(sample => sample[figure])).toFixed(digits)
  const ratio = (figure: Figure): string => {
    return samples === recipe ? '' : showRatio(ratioOf(samples.map(sample => sample[figure]), recipe.map(sample => sample[figure])))
  }
  return [
    variant, of('rate', 0), ratio('rate'), of('cpuMicroseconds', 0), ratio('cpuMicroseconds'),
    of('p50Ms', 2), of('p99Ms', 2), of('heldMs', 2), showStatements(samples.at(-1)!.statements)
  ]
}

const FIGURES = ['requests', 'seconds', 'rate', 'cpuMicroseconds', 'p50Ms', 'p99Ms', 'heldMs'] as const
type Figure = typeof FIGURES[number]

/** A figure's values of all rounds side by side. */
function columns (samples: Sample[]): object {
  return {
    ...Object.fromEntries(FIGURES.map(figure => [figure, samples.map(sample => Number(sample[figure].toPrecision(5)))])),
    statements: samples.at(-1)!.statements
  }
}

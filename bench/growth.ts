import type { Load } from './driver.ts'
import type { Bench } from './environment.ts'
import { lines } from './plots.ts'
import { median, ratioOf, showRatio, type Ratio } from './ratios.ts'
import type { Result } from './result.ts'
import { countSteps, measureInTurn, type Sample } from './rounds.ts'
import type { VariantName } from './variants/variants.ts'

export interface Growth {
  title: string
  /** What there is more and more of. */
  unit: string
  sizes: number[]
  load (size: number): Load
  /** What the difference to the recipe is divided by. */
  added: { label: string, count (size: number): number }
}

interface Step extends Ratio {
  size: number
  recipe: number
  plugin: number
  p99Ms: { recipe: number, plugin: number, ratio: Ratio }
}

const VARIANTS: VariantName[] = ['recipe', "'on-write'"]
const POOL = 10

/** The ratio to the recipe at the largest size, by that at the smallest. Medians of a noisy machine differ as much. */
const GROWN = 1.1

/** The plugin and the recipe in turn, with more and more of something: what the plugin adds must not grow faster than that. */
export async function measureGrowth (bench: Bench, { title, unit, sizes, load, added }: Growth): Promise<Result> {
  const race = { variants: VARIANTS, pool: POOL, loads: sizes.map(load) }
  bench.progress.start(title, countSteps(bench, race))
  const samples = await measureInTurn(bench, race)
  const steps = sizes.map((size, i): Step => {
    const [recipe, plugin] = samples[i]!.map(samples => figuresOf(samples, 'cpuMicroseconds'))
    const [recipeMs, pluginMs] = samples[i]!.map(samples => figuresOf(samples, 'p99Ms'))
    const p99Ms = { recipe: median(recipeMs!), plugin: median(pluginMs!), ratio: ratioOf(pluginMs!, recipeMs!) }
    return { size, recipe: median(recipe!), plugin: median(plugin!), ...ratioOf(plugin!, recipe!), p99Ms }
  })
  const growth = steps.at(-1)!.median / steps[0]!.median
  return {
    title,
    table: [
      [unit, 'CPU µs per request: recipe', "'on-write'", 'ratio', `${added.label}: added µs`, 'p99 ms: recipe', "'on-write'", 'ratio'],
      ...steps.map(({ size, recipe, plugin, p99Ms, ...ratio }) => [
        String(size), recipe.toFixed(0), plugin.toFixed(0), showRatio(ratio), ((plugin - recipe) / added.count(size)).toFixed(1),
        p99Ms.recipe.toFixed(2), p99Ms.plugin.toFixed(2), showRatio(p99Ms.ratio)
      ])
    ],
    goals: [{
      goal: `CPU of 'on-write' to the recipe's, with ${sizes.at(-1)} ${unit}, at most ${GROWN} of what it is with ${sizes[0]}`,
      measured: growth.toFixed(2),
      isReached: growth <= GROWN
    }],
    data: { steps },
    plot: lines({ title, unit, steps })
  }
}

function figuresOf (samples: Sample[], figure: 'cpuMicroseconds' | 'p99Ms'): number[] {
  return samples.map(sample => sample[figure])
}

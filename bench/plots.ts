import { writeFile } from 'node:fs/promises'
import * as vega from 'vega'
import { compile, type TopLevelSpec } from 'vega-lite'
import { ratioOf, type Ratio } from './ratios.ts'
import { RESULTS, type Kept } from './results.ts'
import { WITH_DATABASE } from './variants/variants.ts'
import { workloads } from './workloads.ts'

const BASE = {
  $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
  background: 'white',
  padding: 10,
  config: { font: 'sans-serif', axis: { grid: true, labelLimit: 240, titleFontWeight: 'normal' }, title: { fontWeight: 'normal', anchor: 'start' }, header: { labelFontSize: 12 } }
} as const

const BLUE = '#1f5fa8'
const GREY = '#8a8a8a'

export async function writePlot (name: string, spec: TopLevelSpec): Promise<void> {
  const view = new vega.View(vega.parse(compile(spec).spec), { renderer: 'none' })
  await writeFile(new URL(`${name}.svg`, RESULTS), `${await view.toSVG()}\n`)
  view.finalize()
}

/** Requests per second of all variants in all workloads that have been measured: medians, with the smallest and the largest. */
export function overviewPlot (all: Kept[]): TopLevelSpec {
  const others = WITH_DATABASE.filter(name => name !== 'recipe')
  const values = all.filter(({ name }) => name in workloads).flatMap(({ title, data }) => {
    const rates = data as Record<string, { rate: number[] }>
    return others.map(variant => ({ workload: title, variant, ...ratioOf(rates[variant]!.rate, rates.recipe!.rate) }))
  })
  const colour = { condition: { test: "datum.variant === 'transaction per request'", value: GREY }, value: BLUE }
  const y = { field: 'variant', type: 'nominal', sort: null, title: null } as const
  return {
    ...BASE,
    title: "Requests per second, of the recipe's (line): further to the right is better",
    data: { values },
    facet: { row: { field: 'workload', type: 'nominal', sort: values.map(({ workload }) => workload), title: null, header: { labelAngle: 0, labelAlign: 'left', labelLimit: 700, labelOrient: 'top', labelAnchor: 'start' } } },
    spacing: 8,
    spec: {
      width: 520,
      layer: [
        { mark: { type: 'rule', color: '#444', strokeDash: [4, 3] }, encoding: { x: { datum: 1, type: 'quantitative' } } },
        { mark: { type: 'rule', strokeWidth: 2 }, encoding: { y, color: colour, x: { field: 'min', type: 'quantitative', scale: { type: 'log' }, title: null }, x2: { field: 'max' } } },
        { mark: { type: 'point', filled: true, size: 60, opacity: 1 }, encoding: { y, color: colour, x: { field: 'median', type: 'quantitative' } } }
      ]
    }
  }
}

/** The plugin's CPU per request, of the recipe's, with more and more of something. */
export function lines ({ title, unit, steps }: { title: string, unit: string, steps: (Ratio & { size: number })[] }): TopLevelSpec {
  const x = { field: 'size', type: 'quantitative', scale: { type: 'log' }, title: unit } as const
  const y = { type: 'quantitative', scale: { domainMin: 0 }, title: "CPU per request, of the recipe's" } as const
  return {
    ...BASE,
    title,
    width: 420,
    height: 200,
    data: { values: steps },
    layer: [
      { mark: { type: 'rule', color: '#444', strokeDash: [4, 3] }, encoding: { y: { datum: 1, type: 'quantitative' } } },
      { mark: { type: 'rule', strokeWidth: 2, color: BLUE }, encoding: { x, y: { ...y, field: 'min' }, y2: { field: 'max' } } },
      { mark: { type: 'line', point: true, color: BLUE }, encoding: { x, y: { ...y, field: 'median' } } }
    ]
  }
}

import { writeFile } from 'node:fs/promises'
import * as vega from 'vega'
import { compile, type TopLevelSpec } from 'vega-lite'
import { ratioOf, type Ratio } from './ratios.ts'
import { RESULTS, type Kept } from './results.ts'

const BASE = {
  $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
  background: 'white',
  padding: 10,
  config: { font: 'sans-serif', axis: { grid: true, labelLimit: 240, titleFontWeight: 'normal' }, title: { fontWeight: 'normal', anchor: 'start' }, header: { labelFontSize: 12 }, view: { stroke: null } }
} as const

const BLUE = '#1f5fa8'
const GREY = '#8a8a8a'

export async function writePlot (name: string, spec: TopLevelSpec): Promise<void> {
  const view = new vega.View(vega.parse(compile(spec).spec), { renderer: 'none' })
  const svg = await view.toSVG()
  await writeFile(new URL(`${name}.svg`, RESULTS), `${svg.replace(/<svg[^>]*>/, start => start + DARK)}\n`)
  view.finalize()
}

/** The picture of the README: what one meets most, of all that has been measured. */
const SHOWN: Record<string, string> = {
  'no-database': 'No database',
  read: 'Read one row',
  insert: 'Insert one row',
  wait: 'Read, wait 40 ms, write'
}

const VARIANTS: Record<string, string> = {
  recipe: "MikroORM's recipe", 'transaction per request': 'A transaction per request', "'on-write'": 'This plugin'
}

/** Requests per second of three variants in four workloads, as a part of the recipe's. It is drawn for 400 pixels. */
export function overviewPlot (all: Kept[]): TopLevelSpec {
  const measured = new Map(all.filter(({ engine }) => engine === undefined).map(({ name, data }) => [name, data as Record<string, { rate: number[] }>]))
  const values = Object.entries(SHOWN).filter(([name]) => measured.has(name)).flatMap(([name, workload]) => {
    const rates = measured.get(name)!
    return Object.entries(VARIANTS).map(([variant, label]) => {
      const rate = variant === 'recipe' ? 1 : ratioOf(rates[variant]!.rate, rates.recipe!.rate).median
      return { workload, variant: label, rate, shown: rate.toFixed(2) }
    })
  })
  const variants = Object.values(VARIANTS)
  const y = { field: 'variant', type: 'nominal', sort: variants, axis: null, scale: { paddingInner: 0.15 } } as const
  const most = Math.max(...values.map(({ rate }) => rate))
  const x = { field: 'rate', type: 'quantitative' as const, axis: null, scale: { domain: [0, most * 1.12] } }
  return {
    ...BASE,
    title: { text: 'Requests per second', subtitle: "as a part of those of MikroORM's recipe", fontSize: 15, subtitleFontSize: 13, fontWeight: 'bold' },
    data: { values },
    facet: { row: { field: 'workload', type: 'nominal', sort: Object.values(SHOWN), title: null, header: { labelAngle: 0, labelAlign: 'left', labelOrient: 'top', labelAnchor: 'start', labelFontSize: 14, labelPadding: 0, labelBaseline: 'bottom' } } },
    spacing: 6,
    spec: {
      width: 366,
      height: { step: 18 },
      layer: [
        { mark: 'bar', encoding: { x, y, color: { field: 'variant', type: 'nominal', sort: variants, scale: { domain: variants, range: [GREY, '#c28a3a', BLUE] }, legend: { title: null, orient: 'bottom', direction: 'vertical', labelFontSize: 14, labelLimit: 300, symbolType: 'square', symbolSize: 150 } } } },
        { mark: { type: 'text', align: 'left', dx: 4, fontSize: 13 }, encoding: { x, y, text: { field: 'shown' } } }
      ]
    }
  }
}

/** The colours of the picture on a dark page. */
const DARK = `<style>@media (prefers-color-scheme:dark){svg>rect{fill:#1b1b1f}text{fill:#e0e0e0}[fill="${BLUE}"]{fill:#5b9be0}[stroke="${BLUE}"]{stroke:#5b9be0}[stroke="#444"]{stroke:#aaa}}</style>`

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

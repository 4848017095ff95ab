import type { Load } from './driver.ts'
import type { Bench } from './environment.ts'
import { checkRatio, type GoalOfRatio } from './goals.ts'
import { columnsOf, pairCells, pairHead } from './pair-table.ts'
import type { Result } from './result.ts'
import { countSteps, measureInTurn, type Sample } from './rounds.ts'
import type { VariantName } from './variants/variants.ts'

const POOL = 10
const ALONE = "'on-write'"

/** As they are where nobody uses them: guards are off, no route takes keys, and OpenTelemetry has no SDK. */
const UNUSED: VariantName[] = ["'on-write', guards", "'on-write', keys", "'on-write', observability"]
/** Nobody has its page open, and it records all the same. */
const AT_WORK: VariantName[] = ["'on-write', inspector"]
export const VARIANTS = [ALONE, ...UNUSED, ...AT_WORK] satisfies VariantName[]

const STEPS: { title: string, load: Load, goal: Pick<GoalOfRatio, 'figure' | 'atLeast' | 'atMost'> }[] = [
  {
    title: 'no database',
    load: { method: 'GET', path: '/nothing', connections: 20, status: 200 },
    goal: { figure: 'cpuMicroseconds', atMost: 1.03 }
  },
  {
    title: 'read one row',
    load: { method: 'GET', path: '/book', connections: 20, status: 200 },
    goal: { figure: 'rate', atLeast: 0.97 }
  }
]

/** What an extension costs that is registered, and that nobody uses. */
export async function measureExtensions (bench: Bench): Promise<Result> {
  const title = 'Extensions that nobody uses'
  const race = { variants: VARIANTS, pool: POOL, loads: STEPS.map(({ load }) => load) }
  bench.progress.start(title, countSteps(bench, race))
  const all = await measureInTurn(bench, race)
  const samples = all.map(ofLoad => new Map<VariantName, Sample[]>(VARIANTS.map((variant, i) => [variant, ofLoad[i]!])))
  return {
    title,
    table: [
      ['', '', ...pairHead('without', 'with')],
      ...STEPS.flatMap(({ title }, i) => [...UNUSED, ...AT_WORK].map((variant, j) => [j === 0 ? title : '', variant, ...pairCells(samples[i]!.get(ALONE)!, samples[i]!.get(variant)!)]))
    ],
    goals: STEPS.flatMap(({ title, goal }, i) => UNUSED.map(of => {
      const checked = checkRatio({ ...goal, of, to: ALONE }, samples[i]!)
      return { ...checked, goal: `${title}: ${checked.goal}` }
    })),
    data: Object.fromEntries(STEPS.map(({ title }, i) => [title, Object.fromEntries(VARIANTS.map(variant => [variant, columnsOf(samples[i]!.get(variant)!)]))]))
  }
}

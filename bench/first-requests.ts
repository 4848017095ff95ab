import { contender, type Contender } from './contender.ts'
import type { Load } from './driver.ts'
import type { Bench } from './environment.ts'
import { columnsOf, pairCells, pairHead } from './pair-table.ts'
import { ratioOf, showRatio, type Ratio } from './ratios.ts'
import type { Goal, Result } from './result.ts'
import { measure, type Sample } from './rounds.ts'
import { withServers } from './servers.ts'

const POOL = 10
const REQUESTS = 5000
/** CPU per request, to that of the recipe. */
const AT_MOST = 1.05

const STEPS: { title: string, load: Load }[] = [
  { title: 'read one row', load: { method: 'GET', path: '/book', connections: 20, status: 200 } },
  { title: 'insert one row', load: { method: 'POST', path: '/loan', connections: 20, status: 201 } }
]

/** What the first requests of a process cost, as after a deploy. */
export async function measureFirstRequests (bench: Bench): Promise<Result> {
  const [recipe, plugin] = ['recipe', "'on-write'"] as const
  const { ratios, ...result } = await compareFirstRequests(bench, contender(recipe), contender(plugin))
  const goals = STEPS.map(({ title }, i): Goal => ({
    goal: `${title}: CPU per request of ${plugin} at most ${AT_MOST} of those of ${recipe}`,
    measured: showRatio(ratios[i]!),
    isReached: ratios[i]!.median <= AT_MOST
  }))
  return { ...result, goals }
}

/** Fresh processes of both in turn, one for each load: one process proves nothing, since V8 makes some slower than others for life. */
export async function compareFirstRequests (bench: Bench, before: Contender, after: Contender, requests: number = REQUESTS): Promise<Result & { ratios: Ratio[] }> {
  const title = `The first ${requests} requests of a process`
  bench.progress.start(title, bench.processes * STEPS.length * 2)
  const samples = STEPS.map(() => new Map<Contender, Sample[]>([[before, []], [after, []]]))
  for (let i = 0; i < bench.processes; i++) {
    for (const [j, { load }] of STEPS.entries()) {
      for (const each of i % 2 === 0 ? [before, after] : [after, before]) {
        bench.progress.step(each.name)
        samples[j]!.get(each)!.push(await withServers(bench, [each], POOL, ([server]) => measure(bench, server!, load, requests)))
      }
    }
  }
  const pairs = samples.map(of => [of.get(before)!, of.get(after)!] as const)
  const cpu = (samples: Sample[]): number[] => samples.map(({ cpuMicroseconds }) => cpuMicroseconds)
  return {
    title,
    table: [
      [`${bench.processes} processes of each`, ...pairHead(before.name, after.name)],
      ...STEPS.map(({ title }, i) => [title, ...pairCells(...pairs[i]!)])
    ],
    goals: [],
    data: Object.fromEntries(STEPS.map(({ title }, i) => [title, Object.fromEntries([before, after].map((each, j) => [each.name, columnsOf(pairs[i]![j]!)]))])),
    ratios: pairs.map(([before, after]) => ratioOf(cpu(after), cpu(before)))
  }
}

import type { Load } from './driver.ts'
import type { Bench } from './environment.ts'
import { checkDifference } from './goals.ts'
import { columnsOf } from './pair-table.ts'
import { median } from './ratios.ts'
import type { Result } from './result.ts'
import { measure, ROUNDS_PER_PROCESS, warmUp, type Sample } from './rounds.ts'
import { withServers } from './servers.ts'

const POOL = 10
const READ: Load = { method: 'GET', path: '/book', connections: 20, status: 200 }
const INSERT: Load = { method: 'POST', path: '/loan', connections: 20, status: 201 }

/** CPU µs of a request, more than of the same calls of MikroORM without the plugin. */
export const STEPS = [
  { title: 'read one row', load: READ, atMost: 8 },
  { title: 'insert one row', load: INSERT, atMost: 20 }
]
/** The paths below which a server has them: see `variants/with-and-without.ts`. */
export const WAYS = ['/without', '/with'] as const

/** Both ways in one process: from one process to the next, V8 makes more of a difference than the plugin does. */
export async function measureShare (bench: Bench): Promise<Result> {
  const title = "The plugin's own share of a request"
  const processes = Math.ceil(bench.rounds / ROUNDS_PER_PROCESS)
  bench.progress.start(title, STEPS.length * WAYS.length * (processes + bench.rounds))
  const samples = STEPS.map((): Sample[][] => [[], []])
  for (let left = bench.rounds; left > 0; left -= ROUNDS_PER_PROCESS) {
    await withServers(bench, ['with and without'], POOL, async ([server]) => {
      for (const [i, { title, load }] of STEPS.entries()) {
        const ways = WAYS.map(way => ({ ...load, path: way + load.path }))
        const amounts: number[] = []
        for (const way of ways) {
          bench.progress.step(`${title}: warms up`)
          amounts.push(await warmUp(server!, way, bench.seconds))
        }
        const amount = Math.min(...amounts)
        for (let round = 0; round < Math.min(left, ROUNDS_PER_PROCESS); round++) {
          for (const [j, way] of ways.entries()) {
            bench.progress.step(`${title}: ${WAYS[j]}`)
            samples[i]![j]!.push(await measure(bench, server!, way, amount))
          }
        }
      }
    })
  }
  const steps = STEPS.map(({ title, atMost }, i) => {
    const [without, withIt] = samples[i]!.map(samples => samples.map(sample => sample.cpuMicroseconds)) as [number[], number[]]
    return { title, without, withIt, share: checkDifference({ what: `${title}: CPU µs with the plugin`, atMost }, withIt.map((cpu, round) => cpu - without[round]!)) }
  })
  return {
    title,
    table: [
      ['CPU µs of a request', 'MikroORM alone', "'on-write'", 'more'],
      ...steps.map(({ title, without, withIt, share }) => [title, median(without).toFixed(0), median(withIt).toFixed(0), share.measured])
    ],
    goals: steps.map(({ share }) => share),
    data: Object.fromEntries(STEPS.map(({ title }, i) => [title, { without: columnsOf(samples[i]![0]!), with: columnsOf(samples[i]![1]!) }]))
  }
}

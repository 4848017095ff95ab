import type { EngineName } from '../database.ts'
import { drive, type Load } from '../driver.ts'
import type { Bench } from '../environment.ts'
import { checkRatio, checkRoundTrips } from '../goals.ts'
import { columnsOf } from '../pair-table.ts'
import { median, ratioOf, showRatio } from '../ratios.ts'
import type { Goal, Result } from '../result.ts'
import { countSteps, measureInTurn, type Sample } from '../rounds.ts'
import { withServers } from '../servers.ts'
import type { VariantName } from '../variants/variants.ts'
import { FarNetwork } from './far-network.ts'
import { measurePings } from './ping.ts'

const ROUND_TRIP_MS = 1
const POOL = 10
const OURS = "'on-write'"
const VARIANTS: VariantName[] = ['recipe', OURS, 'by hand']
/** V8 compiles for so many requests that a single client would take minutes for them. */
const WARM_UP_CLIENTS = 20

interface Step {
  title: string
  load: Load
  /** How many a request makes to the database. */
  roundTrips: Record<EngineName, number>
  /** Requests per second, to those of the recipe. */
  atLeast: Record<EngineName, number>
}

export const steps: Step[] = [
  {
    title: 'read one row',
    load: { method: 'GET', path: '/book', connections: 1, status: 200 },
    roundTrips: { postgresql: 1, mariadb: 1 },
    atLeast: { postgresql: 1, mariadb: 1 }
  },
  {
    title: 'insert one row',
    load: { method: 'POST', path: '/loan', connections: 1, status: 201 },
    roundTrips: { postgresql: 2, mariadb: 3 },
    atLeast: { postgresql: 1.35, mariadb: 1 } // there, BEGIN travels by itself
  }
]

/** One client, and a database that is a millisecond away: what a request waits for is its round trips. */
export async function measureNetwork (bench: Bench): Promise<Result> {
  const title = `A network with a round trip of ${ROUND_TRIP_MS} ms, one client`
  const { engine } = bench.database
  const race = { variants: VARIANTS, pool: POOL, loads: steps.map(({ load }) => load), warmUpClients: WARM_UP_CLIENTS }
  bench.progress.start(title, countSteps(bench, race) + 2)
  bench.progress.step('pings')
  const pings = await measurePings(ROUND_TRIP_MS / 2)
  const network = await FarNetwork.before(bench.database, ROUND_TRIP_MS / 2)
  try {
    const far = { ...bench, database: network.far(bench.database) }
    bench.progress.step('counts round trips')
    const roundTrips = await countRoundTrips(far, network, VARIANTS)
    const samples = await measureInTurn(far, race)
    const of = (i: number): Map<VariantName, Sample[]> => new Map(VARIANTS.map((variant, j) => [variant, samples[i]![j]!]))
    return {
      title,
      table: [
        ['', '', 'requests/s', 'to the recipe', 'p50 ms', 'p99 ms', 'CPU µs', 'round trips'],
        ...steps.flatMap((step, i) => VARIANTS.map((variant, j) => [j === 0 ? step.title : '', ...row(variant, of(i)), showTrips(roundTrips[i]![j]!)])),
        ['a ping', 'straight', '', '', pings.straight.toFixed(2), '', '', ''],
        ['', 'through the network', '', '', pings.through.toFixed(2), '', '', '']
      ],
      goals: steps.flatMap((step, i) => goalsOf(step, engine, of(i), roundTrips[i]![VARIANTS.indexOf(OURS)]!)),
      data: {
        pings,
        ...Object.fromEntries(steps.map((step, i) => [step.title, Object.fromEntries(VARIANTS.map((variant, j) => [variant, { ...columnsOf(samples[i]![j]!), roundTrips: roundTrips[i]![j] }]))]))
      }
    }
  } finally {
    await network.stop()
  }
}

/** Counts the round trips that a request of each load takes with each variant. */
export async function countRoundTrips (bench: Pick<Bench, 'database'>, network: FarNetwork, variants: VariantName[], requests = 100): Promise<number[][]> {
  return await withServers(bench, variants, POOL, async servers => {
    const counts: number[][] = []
    for (const { load } of steps) {
      counts.push([])
      for (const server of servers) {
        await drive(server.url, { ...load, connections: 2 * POOL }, 10 * POOL) // opens what a request might find not yet given back
        await network.takeRoundTrips()
        await drive(server.url, load, requests)
        counts.at(-1)!.push(await network.takeRoundTrips() / requests)
      }
    }
    return counts
  })
}

function row (variant: VariantName, samples: Map<VariantName, Sample[]>): string[] {
  const own = samples.get(variant)!
  const of = (figure: 'rate' | 'p50Ms' | 'p99Ms' | 'cpuMicroseconds', digits: number): string => median(own.map(sample => sample[figure])).toFixed(digits)
  const rates = (name: VariantName): number[] => samples.get(name)!.map(({ rate }) => rate)
  const ratio = variant === 'recipe' ? '' : showRatio(ratioOf(rates(variant), rates('recipe')))
  return [variant, of('rate', 0), ratio, of('p50Ms', 2), of('p99Ms', 2), of('cpuMicroseconds', 0)]
}

function goalsOf ({ title, roundTrips, atLeast }: Step, engine: EngineName, samples: Map<VariantName, Sample[]>, measured: number): Goal[] {
  const { goal, ...rates } = checkRatio({ figure: 'rate', of: OURS, to: 'recipe', atLeast: atLeast[engine] }, samples)
  return [{ goal: `${title}: ${goal}`, ...rates }, checkRoundTrips({ what: `${title}: round trips of ${OURS}`, exactly: roundTrips[engine] }, measured)]
}

function showTrips (count: number): string {
  return String(Number(count.toFixed(2)))
}

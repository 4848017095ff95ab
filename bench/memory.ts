import type { Bench } from './environment.ts'
import { bytesPerOpenContext, bytesPerPastContext, countKept } from './memory-measures.ts'
import type { Result } from './result.ts'
import type { ServerProcess } from './server-process.ts'
import { withServers } from './servers.ts'
import type { VariantName } from './variants/variants.ts'

const VARIANTS: VariantName[] = ['floor', 'recipe', "'on-write'"]
const POOL = 10
const OPEN_CONTEXTS = 10_000
const TIMERS = 10_000
const PAST_CONTEXTS = 1_000_000
const PAST_CONTEXTS_WITH_DATABASE = 100_000

interface Figures {
  open: number
  timer: number
  past: number
  timerWithDatabase?: number
  pastWithDatabase?: number
  /** Requests, EntityManagers and entities of contexts that only a timer keeps alive. */
  kept: number
}

/** Bytes of the heap of a server, after garbage collections. */
export async function measureMemory (bench: Bench): Promise<Result> {
  const title = 'Memory'
  bench.progress.start(title, VARIANTS.length * 5)
  const [floor, recipe, plugin] = await withServers(bench, VARIANTS, POOL, async servers => {
    const figures: Figures[] = []
    for (const server of servers) figures.push(await measureServer(bench, server))
    return figures
  }) as [Figures, Figures, Figures]

  const show = (bytes: number | undefined): string => bytes === undefined ? '' : bytes.toFixed(bytes < 10 ? 2 : 0)
  const row = (label: string, figure: keyof Figures): string[] => [label, show(floor[figure]), show(recipe[figure]), show(plugin[figure])]
  const open = plugin.open - floor.open
  const timer = plugin.timer - floor.timer
  return {
    title,
    table: [
      ['bytes per context', 'floor', 'recipe', "'on-write'"],
      row(`open, no database (${OPEN_CONTEXTS} at once)`, 'open'),
      row(`settled, a timer keeps it alive, no database (${TIMERS})`, 'timer'),
      row(`settled, a timer keeps it alive, has read and written (${TIMERS})`, 'timerWithDatabase'),
      row(`settled, no database (${PAST_CONTEXTS})`, 'past'),
      row(`settled, has read (${PAST_CONTEXTS_WITH_DATABASE})`, 'pastWithDatabase'),
      row('objects that a timer keeps', 'kept')
    ],
    goals: [
      { goal: 'under 500 bytes more than the floor per open context that touches no database', measured: open.toFixed(0), isReached: open < 500 },
      { goal: 'no request, EntityManager or entity is kept by a timer', measured: String(plugin.kept), isReached: plugin.kept === 0 },
      { goal: 'under 500 bytes more than the floor per settled context that a timer keeps alive', measured: timer.toFixed(0), isReached: timer < 500 },
      { goal: 'under 1 byte per settled context, of a million', measured: plugin.past.toFixed(2), isReached: plugin.past < 1 }
    ],
    data: { floor, recipe, plugin }
  }
}

async function measureServer ({ progress }: Bench, server: ServerProcess): Promise<Figures> {
  const hasDatabase = server.name !== 'floor'
  progress.step(`${server.name}, open contexts`)
  const open = await bytesPerOpenContext(server, OPEN_CONTEXTS)
  progress.step(`${server.name}, past contexts`)
  const past = await bytesPerPastContext(server, '/nothing', PAST_CONTEXTS)
  progress.step(`${server.name}, past contexts with a database`)
  const pastWithDatabase = hasDatabase ? await bytesPerPastContext(server, '/book', PAST_CONTEXTS_WITH_DATABASE) : undefined
  progress.step(`${server.name}, timers`)
  const timer = await bytesPerPastContext(server, '/timer', TIMERS)
  progress.step(`${server.name}, timers with a database`)
  const timerWithDatabase = hasDatabase ? await bytesPerPastContext(server, '/timer/loan', TIMERS) : undefined
  return { open, past, pastWithDatabase, timer, timerWithDatabase, kept: await countKept(server, hasDatabase) }
}

import pg from 'pg'
import { setTimeout as sleep } from 'node:timers/promises'
import { runClient } from './client.ts'
import { heapGrowth } from './heap.ts'
import { Ledger } from './ledger.ts'
import { Random } from './random.ts'
import { ServerProcess } from './server-process.ts'
import { Traces } from './traces.ts'

export interface SoakOptions {
  databaseUrl: string
  seconds: number
  seed: number
  onProgress? (progress: { seconds: number, requests: number }): void
}

export interface SoakResult {
  ledger: Ledger
  killed: number
  /** Requests that were held against the model of settling, and how many of them differ in what was seen of them. */
  traces: { held: number, kinds: number }
  heap: { before: number, after: number }
  /** Empty if all is well. */
  problems: string[]
}

const CLIENTS = 64
const KILL_EVERY_MS = 150
const SAMPLE_EVERY_MS = 500

/** Drives a server of its own on that database, which must be empty, and checks what is left of it. */
export async function runSoak ({ databaseUrl, seconds, seed, onProgress = () => {} }: SoakOptions): Promise<SoakResult> {
  const observer = new pg.Client({ connectionString: databaseUrl })
  await observer.connect()
  const ledger = new Ledger()
  const traces = new Traces()
  const server = await ServerProcess.start(databaseUrl, ledger.noteSettled, traces.note)
  try {
    const stop = new AbortController()
    const samples: number[] = []
    const startedAt = performance.now()
    const elapsed = (): number => (performance.now() - startedAt) / 1000
    const pace = async (everyMs: number, work: () => Promise<void>): Promise<void> => {
      while (!stop.signal.aborted) {
        await work()
        await sleep(everyMs, undefined, { signal: stop.signal }).catch(() => {})
      }
    }
    let killed = 0
    const all = Promise.all([
      ...Array.from({ length: CLIENTS }, (_, number) => runClient(number, server.url, new Random(seed * CLIENTS + number), ledger, stop.signal)),
      pace(KILL_EVERY_MS, async () => { killed += await killOne(observer) }),
      pace(SAMPLE_EVERY_MS, async () => {
        samples.push(await server.heap())
        onProgress({ seconds: Math.min(elapsed(), seconds), requests: ledger.size })
        if (elapsed() >= seconds) stop.abort()
      })
    ])
    await all.finally(() => stop.abort())

    const problems = await server.report()
    problems.push(...(await observer.query(OPEN)).rows.map(({ pid, state, query }) => `Backend ${pid} is ${state}: ${query}`))
    const { rows } = await observer.query('select request, part from entry')
    problems.push(...ledger.compare(rows))
    const { strange, ...held } = traces.findStrange(ledger, rows)
    problems.push(...strange)
    const { problems: leaks, ...heap } = heapGrowth(samples)
    return { ledger, killed, traces: held, heap, problems: [...problems, ...leaks] }
  } finally {
    server.stop()
    await observer.end()
  }
}

const OPEN = "select pid, state, query from pg_stat_activity where application_name = 'soak' and state <> 'idle'"

/** The seed cannot choose: which backend does what is up to the machine. */
async function killOne (observer: pg.Client): Promise<number> {
  const { rows } = await observer.query(`
    select pg_terminate_backend(pid) as sent from pg_stat_activity where application_name = 'soak' and state <> 'idle' order by random() limit 1
  `)
  return rows.filter(({ sent }) => sent).length
}

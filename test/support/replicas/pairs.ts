import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'
import type { AppOptions, Served } from './app.ts'

/** How often one write is followed by one read. */
export const PAIRS: number = Number(process.env.REPLICA_PAIRS ?? 1000)
const CLIENTS = 10

/** Starts an app in a process of its own. Resolves with its address. */
export async function startProcess (t: Test, options: AppOptions): Promise<string> {
  const child = spawn(process.execPath, [new URL('app.ts', import.meta.url).pathname, JSON.stringify(options)], {
    stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, NODE_V8_COVERAGE: undefined }
  })
  t.teardown(async () => {
    const exited = once(child, 'exit')
    child.stdin.end()
    await exited
  })
  const [address] = await once(createInterface(child.stdout), 'line') as [string]
  return address
}

export interface Pairs {
  stale: number
  failed: number
  /** Which servers have had the reads. */
  served: Served
  /** Of a read, in milliseconds. */
  median: number
  p99: number
}

/** Clients that write by one process and read by the other what they have written, with the cookies that they get. */
export async function writeThenRead (writer: string, reader: string, name: string, pairs: number): Promise<Pairs> {
  const latencies: number[] = []
  let next = 0
  let stale = 0
  let failed = 0
  const client = async (): Promise<void> => {
    for (let i = next++; i < pairs; i = next++) {
      const path = `/${name}-${i}`
      const written = await fetch(writer + path, { method: 'POST' })
      await written.arrayBuffer()
      const cookie = written.headers.get('set-cookie')?.split(';')[0]
      const start = performance.now()
      const read = await fetch(reader + path, { headers: cookie === undefined ? {} : { cookie } })
      const { seen } = await read.json() as { seen: number }
      latencies.push(performance.now() - start)
      if (written.status !== 200 || read.status !== 200) failed++
      else if (seen !== 1) stale++
    }
  }
  const before = await servedBy(reader)
  await Promise.all(Array.from({ length: CLIENTS }, client))
  const { read, write } = await servedBy(reader)
  latencies.sort((a, b) => a - b)
  return { stale, failed, served: { read: read - before.read, write: write - before.write }, median: latencies[pairs >> 1]!, p99: latencies[Math.floor(pairs * 0.99)]! }
}

async function servedBy (address: string): Promise<Served> {
  return await (await fetch(`${address}/served`)).json() as Served
}

export function describe (what: string, { stale, served: { read, write }, median, p99 }: Pairs): string {
  return `${what}: ${stale} stale; ${Math.round(100 * read / (read + write))} % of the reads on replicas; a read takes ${median.toFixed(1)} ms, p99 ${p99.toFixed(1)}`
}

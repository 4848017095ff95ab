import autocannon from 'autocannon'
import { randomUUID } from 'node:crypto'
import { createHistogram } from 'node:perf_hooks'

export interface Load {
  method: 'GET' | 'POST'
  path: string
  /** Clients, each of which sends one request after the other. */
  connections: number
  /** Of every reply. */
  status: number
  /** Sends a new idempotency key with each request. */
  hasKey?: boolean
}

export interface Driven {
  seconds: number
  p50Ms: number
  p99Ms: number
}

const TIMEOUT_SECONDS = 120

/** As a header. */
export function newKey (): Record<string, string> {
  return { 'idempotency-key': randomUUID() }
}

/**
 * Sends exactly so many requests, and waits for all replies: figures per request have no remainder that way, and nobody is
 * aborted. Rejects if a reply has another status.
 */
export async function drive (url: string, { method, path, connections, status, hasKey = false }: Load, amount: number): Promise<Driven> {
  const microseconds = createHistogram() // autocannon's own has milliseconds
  const statuses = new Map<number, number>()
  let lastReply = 0
  const startedAt = performance.now()
  const { errors } = await new Promise<autocannon.Result>((resolve, reject) => {
    const running = autocannon({
      url: url + path,
      method,
      connections: Math.min(connections, amount),
      amount,
      timeout: TIMEOUT_SECONDS,
      sampleInt: 100,
      requests: hasKey ? [{ setupRequest: request => ({ ...request, headers: { ...request.headers, ...newKey() } }) }] : [{}]
    }, (error, result) => error ? reject(error) : resolve(result))
    running.on('response', (_client, status, _bytes, ms) => {
      microseconds.record(Math.max(1, Math.round(ms * 1000)))
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
      lastReply = performance.now()
    })
  })
  if (errors > 0 || statuses.get(status) !== amount) {
    const seen = [...statuses].map(([status, count]) => `${count} × ${status}`).join(', ')
    throw new Error(`${method} ${path}: of ${amount} requests, ${errors} failed, and the replies were ${seen} instead of ${status}`)
  }
  return { seconds: (lastReply - startedAt) / 1000, p50Ms: microseconds.percentile(50) / 1000, p99Ms: microseconds.percentile(99) / 1000 }
}

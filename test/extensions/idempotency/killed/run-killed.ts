import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Random } from '../../../soak/random.ts'
import { freePort } from '../../../support/free-port.ts'
import { until } from '../../../support/until.ts'
import { Charge, type Kind } from './charge.ts'
import { runClient } from './client.ts'
import { KeyLedger } from './ledger.ts'
import { openOrm } from './open-orm.ts'

export interface KilledOptions {
  kind: Kind
  databaseUrl: string
  seconds: number
  seed: number
}

export interface KilledResult {
  ledger: KeyLedger
  kills: number
  rows: number
  problems: string[]
}

const SERVERS = 2
const CLIENTS = 12
/** So many are seen at most before a server is killed, and then a moment passes: on a slow machine, servers live for longer. */
const MAX_REPLIES = 60
const MAX_LIFE_AFTER_MS = 30

/** Two servers on one database, which are killed again and again while clients send until they are told that all is done. */
export async function runKilled ({ kind, databaseUrl, seconds, seed }: KilledOptions): Promise<KilledResult> {
  const orm = await openOrm(kind, databaseUrl)
  await orm.schema.refresh()
  const ports: number[] = []
  while (ports.length < SERVERS) ports.push(await freePort())
  const ledger = new KeyLedger()
  const stop = new AbortController()
  const last = new AbortController()
  const listening = ports.map(() => Promise.withResolvers<void>())
  const killed = Promise.withResolvers<void>()
  let kills = 0
  const servers = Promise.all(ports.map(async (port, i) => {
    const random = new Random(seed * SERVERS + i)
    let next = startServer(kind, databaseUrl, port)
    while (!last.signal.aborted) {
      const { child, exited, ready } = next
      await ready
      next = startServer(kind, databaseUrl, port)
      child.send('listen')
      await Promise.race([once(child, 'message'), exited])
      listening[i]!.resolve()
      await Promise.race([exited, next.ready]) // nobody shall be away for long
      const done = ledger.done + random.below(MAX_REPLIES)
      await Promise.race([exited, until(() => last.signal.aborted || (!stop.signal.aborted && ledger.done >= done))])
      await sleep(random.below(MAX_LIFE_AFTER_MS))
      if (!last.signal.aborted) kills++
      killed.resolve()
      child.kill('SIGKILL')
      await exited
    }
    next.child.kill('SIGKILL')
  }))
  try {
    const urls = ports.map(port => `http://127.0.0.1:${port}`)
    await Promise.all(listening.map(({ promise }) => promise))
    const stopping = sleep(seconds * 1000).then(() => killed.promise).then(() => stop.abort()) // on a busy machine, servers live for long
    await Promise.all(Array.from({ length: CLIENTS }, (_, number) => runClient(number, urls, new Random(seed * CLIENTS + number), ledger, stop.signal)))
    await stopping
    last.abort()
    await servers
    const rows = await orm.em.fork().find(Charge, {})
    return { ledger, kills, rows: rows.length, problems: ledger.compare(rows) }
  } finally {
    stop.abort()
    last.abort()
    await orm.close()
  }
}

interface Server {
  child: ChildProcess
  exited: Promise<unknown>
  ready: Promise<unknown>
}

function startServer (kind: Kind, databaseUrl: string, port: number): Server {
  const child = fork(fileURLToPath(new URL('server.ts', import.meta.url)), [kind, databaseUrl, String(port)], {
    execArgv: [], env: { ...process.env, NODE_COMPILE_CACHE: join(tmpdir(), 'fastify-context-orm-compiled') }
  })
  const exited = once(child, 'exit')
  return { child, exited, ready: Promise.race([once(child, 'message'), exited]) }
}

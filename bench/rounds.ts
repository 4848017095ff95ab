import type { Contender } from './contender.ts'
import { drive, type Driven, type Load } from './driver.ts'
import type { Bench } from './environment.ts'
import type { Statements } from './database.ts'
import type { ServerProcess } from './server-process.ts'
import { assertSameReplies, withServers } from './servers.ts'
import type { VariantName } from './variants/variants.ts'

/** What one variant did in one round. */
export interface Sample extends Driven {
  requests: number
  /** Requests per second. */
  rate: number
  /** CPU time of the server process per request. */
  cpuMicroseconds: number
  /** How long connections were out of the pool, per request. */
  heldMs: number
  statements: Statements
}

/**
 * A server is driven for so long, and with so many requests, before it is measured: with MikroORM, CPU per request falls
 * to less than half until everything has been compiled. V8 does so anew after some 15,000 requests, and that takes as many
 * again (Node 24). Slow loads are measured before that.
 */
const WARM_UP = { seconds: 2, requests: 40_000, atMostSeconds: 12, steadySeconds: 1 }

/**
 * Then all servers are started anew: of the same code, V8 makes a process that is a third slower now and then, and it
 * stays so for as long as the process lives.
 */
export const ROUNDS_PER_PROCESS = 4

export interface Race {
  variants: (VariantName | Contender)[]
  /** Connections in the pool of each server. */
  pool: number
  loads: Load[]
  /** How many clients warm a server up. Default: as many as measure it. */
  warmUpClients?: number
}

/**
 * The same load for all variants in turn, round after round, so that whatever else the machine does hits all alike; then
 * the next load. Gives the samples of each load and variant, in the order of the rounds.
 */
export async function measureInTurn (bench: Bench, { variants, pool, loads, warmUpClients }: Race): Promise<Sample[][][]> {
  const samples: Sample[][][] = loads.map(() => variants.map(() => []))
  for (let left = bench.rounds; left > 0; left -= ROUNDS_PER_PROCESS) {
    await withServers(bench, variants, pool, async servers => {
      for (const load of loads) await assertSameReplies(servers, load)
      for (const [i, load] of loads.entries()) {
        const amounts: number[] = []
        for (const server of servers) {
          bench.progress.step(`${server.name} warms up`)
          amounts.push(await warmUp(server, load, bench.seconds, warmUpClients))
        }
        for (let round = 0; round < Math.min(left, ROUNDS_PER_PROCESS); round++) {
          for (const [j, server] of servers.entries()) {
            bench.progress.step(server.name)
            samples[i]![j]!.push(await measure(bench, server, load, amounts[j]!))
          }
        }
      }
    })
  }
  return samples
}

/** How many calls of `progress.step()` that makes. */
export function countSteps ({ rounds }: Bench, { variants, loads }: Race): number {
  return loads.length * variants.length * (rounds + Math.ceil(rounds / ROUNDS_PER_PROCESS))
}

/** Exactly so many requests, and what they took. */
export async function measure ({ database }: Pick<Bench, 'database'>, server: ServerProcess, load: Load, amount: number): Promise<Sample> {
  await database.takeStatements(server.databaseUrl)
  const before = await server.ask('usage')
  const driven = await drive(server.url, load, amount)
  const after = await server.ask('usage')
  const statements = await database.takeStatements(server.databaseUrl)
  const perRequest = (figure: 'cpuMicroseconds' | 'heldMs'): number => (after[figure] - before[figure]) / amount
  return {
    ...driven,
    requests: amount,
    rate: amount / driven.seconds,
    cpuMicroseconds: perRequest('cpuMicroseconds'),
    heldMs: perRequest('heldMs'),
    statements: Object.fromEntries(Object.entries(statements).map(([kind, count]) => [kind, count / amount]))
  }
}

/** Resolves with how many requests the server answers in so many seconds, when it has been compiled. */
export async function warmUp (server: ServerProcess, load: Load, seconds: number, clients: number = load.connections): Promise<number> {
  let rate = await driveUntil(isWarm, server, { ...load, connections: clients })
  if (clients !== load.connections) rate = await driveUntil(isSteady, server, load)
  return Math.max(load.connections, Math.round(rate * seconds))
}

/** Resolves with the last requests per second. */
async function driveUntil (isEnough: (elapsed: number, requests: number) => boolean, server: ServerProcess, load: Load): Promise<number> {
  let amount = load.connections
  let rate = 0
  for (let elapsed = 0, requests = 0; !isEnough(elapsed, requests);) {
    const driven = await drive(server.url, load, amount)
    elapsed += driven.seconds
    requests += amount
    rate = amount / driven.seconds
    amount = Math.max(load.connections, Math.min(amount * 4, Math.round(rate)))
  }
  return rate
}

function isSteady (elapsed: number): boolean {
  return elapsed >= WARM_UP.steadySeconds
}

function isWarm (elapsed: number, requests: number): boolean {
  return elapsed >= WARM_UP.atMostSeconds || (elapsed >= WARM_UP.seconds && requests >= WARM_UP.requests)
}

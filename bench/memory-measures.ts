import { drive, type Load } from './driver.ts'
import { median } from './ratios.ts'
import type { ServerProcess } from './server-process.ts'
import { until } from '../test/support/until.ts'

const load = (path: string, connections: number): Load => ({ method: 'GET', path, connections, status: 200 })

/** Enough for everything to be compiled, and for tables of the runtime to have their size. */
const WARM_UP = 10_000

/** With so many requests at once waiting in their handlers, each on a socket of its own. */
export async function bytesPerOpenContext (server: ServerProcess, contexts: number): Promise<number> {
  const atOnce = async (): Promise<number> => {
    const before = await quietHeap(server)
    const replies = drive(server.url, load('/gate', contexts), contexts)
    await untilWaiting(server, contexts)
    const bytes = await server.ask('heap') - before
    await server.ask('openGate')
    await replies
    return bytes / contexts
  }
  await atOnce() // tables that grow with the number of sockets have grown then
  return median([await atOnce(), await atOnce(), await atOnce()])
}

/** What is left of a request when it has been answered. Who measures again need not warm up again. */
export async function bytesPerPastContext (server: ServerProcess, path: string, contexts: number, warmUp: number = Math.min(contexts, WARM_UP)): Promise<number> {
  if (warmUp > 0) await drive(server.url, load(path, 20), warmUp)
  const before = await quietHeap(server)
  await drive(server.url, load(path, 20), contexts)
  return (await quietHeap(server) - before) / contexts
}

/** When all clients have gone, and nothing is watched. */
async function quietHeap (server: ServerProcess): Promise<number> {
  await server.ask('kept')
  await untilClientsAreGone(server)
  return await server.ask('heap')
}

/** A socket that has not closed yet keeps its last request. */
async function untilClientsAreGone (server: ServerProcess): Promise<void> {
  await until(async () => await server.ask('clients') === 0)
}

/** How many requests, EntityManagers and entities are in memory of contexts that have settled, and that a timer keeps alive. */
export async function countKept (server: ServerProcess, hasDatabase: boolean): Promise<number> {
  const amount = 200
  await server.ask('kept')
  await drive(server.url, load('/timer', 10), amount)
  if (hasDatabase) await drive(server.url, load('/timer/loan', 10), amount)
  await untilClientsAreGone(server) // Node gives their parsers to the next sockets, and what was last on a parser is referenced by it
  await drive(server.url, load('/nothing', 20), amount)
  await untilClientsAreGone(server)
  return await server.ask('kept')
}

/** Resolves when so many requests wait at the gate. */
export async function untilWaiting (server: ServerProcess, requests: number): Promise<void> {
  await until(async () => await server.ask('waiting') === requests)
}

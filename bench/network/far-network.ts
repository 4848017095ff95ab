import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Database } from '../database.ts'
import type { Target } from './delaying-proxy.ts'

/** A network between servers and their database, as its parent sees it. */
export class FarNetwork {
  readonly port: number
  readonly #child: ChildProcess

  private constructor (child: ChildProcess, port: number) {
    this.#child = child
    this.port = port
  }

  /** Each way takes that long. */
  static async start (target: Target, oneWayMs: number): Promise<FarNetwork> {
    const child = fork(fileURLToPath(new URL('proxy-process.ts', import.meta.url)), [JSON.stringify({ ...target, oneWayMs })], { execArgv: [] })
    return new FarNetwork(child, await answer(child))
  }

  /** In front of that database's server. */
  static async before (database: Database, oneWayMs: number): Promise<FarNetwork> {
    const { hostname, port } = new URL(await database.createDatabase())
    return await FarNetwork.start({ host: hostname, port: Number(port) }, oneWayMs)
  }

  /** The same database, which servers reach through this network. */
  far (database: Database): Database {
    return {
      engine: database.engine,
      description: database.description,
      createDatabase: async () => {
        const url = new URL(await database.createDatabase())
        url.hostname = '127.0.0.1'
        url.port = String(this.port)
        return url.href
      },
      takeStatements: url => database.takeStatements(url),
      stop: () => database.stop()
    }
  }

  /** How many all connections have made since this was last asked. */
  async takeRoundTrips (): Promise<number> {
    const asked = answer(this.#child)
    this.#child.send('')
    return await asked
  }

  async stop (): Promise<void> {
    const exited = once(this.#child, 'exit')
    this.#child.disconnect()
    await exited
  }
}

/** Rejects if the proxy ends before. */
async function answer (child: ChildProcess): Promise<number> {
  const stop = new AbortController()
  const ended = once(child, 'exit', stop).then(([code]) => { throw new Error(`The proxy has ended with code ${code}`) })
  try {
    const [number] = await Promise.race([once(child, 'message', stop), ended])
    return number
  } finally {
    ended.catch(() => {})
    stop.abort()
  }
}

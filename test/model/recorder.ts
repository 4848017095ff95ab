import type { FastifyInstance } from 'fastify'
import { AsyncLocalStorage } from 'node:async_hooks'
import diagnostics from 'node:diagnostics_channel'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type pg from 'pg'
import type { Test } from 'tap'
import type { ContextDescription } from '../../lib/context/context-description.ts'
import type { BegunEvent, SettledEvent } from '../../lib/context/events.ts'
import type { Seen } from './replay.ts'
import type { Sight } from './step.ts'

/** How a connection is to die when it sends its commit. */
export type Death = 'before COMMIT' | 'after COMMIT'

/** The number of a context in the plans that traces are held against. */
const NUMBERS = { request: 0, branch: 1, run: 0 } as const

/**
 * Sees what can be seen of requests from outside: the events of the library, when a reply leaves and closes, and on PostgreSQL when COMMIT is
 * sent and a connection is back. Statements say in a comment whose they are, see `tag()`; of `BEGIN` and `SAVEPOINT`, `as()` tells. What only the
 * work itself knows, it notes.
 */
export class Recorder {
  readonly traces = new Map<string, Seen[]>()
  readonly #deaths = new Map<string, Death>()
  readonly #working = new AsyncLocalStorage<readonly [id: string, context: number]>()
  readonly #tell: (id: string, seen: Seen) => void

  /** `tell` gets what is seen instead of `traces`. */
  constructor (t: Pick<Test, 'teardown'>, tell?: (id: string, seen: Seen) => void) {
    this.#tell = tell ?? ((id, seen) => { this.traces.get(id)?.push(seen) })
    const channels = {
      'fastify-context-orm:begun': (event: unknown): void => this.#noteEvent(event as BegunEvent, () => 'begun'),
      'fastify-context-orm:settled': (event: unknown): void => this.#noteEvent(event as SettledEvent, ({ outcome, ending }) => `settled ${outcome} ${ending}`)
    }
    for (const [name, note] of Object.entries(channels)) {
      diagnostics.subscribe(name, note)
      t.teardown(() => diagnostics.unsubscribe(name, note))
    }
  }

  note (id: string, context: number, sight: Sight): void {
    this.#tell(id, { context, sight })
  }

  /** What a statement of that context has to contain. */
  tag (id: string, context: number): string {
    return `/* ${id}:${context} */`
  }

  /** Runs what that context does. */
  as<T> (id: string, context: number, work: () => T): T {
    return this.#working.run([id, context], work)
  }

  /** The next commit of that request ends its connection. */
  letDie (id: string, death: Death): void {
    this.#deaths.set(id, death)
  }

  /** Its requests have such a header. */
  watchServer (app: FastifyInstance, header = 'x-request-id'): void {
    app.server.prependListener('request', (request: IncomingMessage, response: ServerResponse) => {
      const id = String(request.headers[header])
      this.traces.set(id, [])
      const { writeHead } = response
      response.writeHead = ((status: number, ...args: []) => {
        if (!response.destroyed) this.note(id, 0, `told ${status < 400 ? 'success' : 'failure'}`)
        return Reflect.apply(writeHead, response, [status, ...args])
      }) as typeof writeHead
      response.once('close', () => this.note(id, 0, 'closed'))
    })
  }

  /** For the `onPoolCreated` of MikroORM's driver options. */
  readonly watchPool = (pool: pg.Pool): void => {
    const owners = new WeakMap<object, readonly [id: string, context: number]>()
    pool.on('connect', client => {
      const { connection } = client as unknown as { connection: { query (sql: string): void, parse (query: { text: string }): void, stream: { destroy (): void } } }
      const { query, parse } = connection
      const see = (sql: string, send: () => void): void => {
        const [, id, context] = /\/\* (\w+):(\d) \*\//.exec(sql) ?? []
        const begins = /^(?:begin|start transaction|savepoint)/.test(sql) ? this.#working.getStore() : undefined
        const owner = id !== undefined ? [id, Number(context)] as const : begins ?? owners.get(client)
        if (owner !== undefined) owners.set(client, owner)
        if (sql !== 'commit' || owner === undefined) return send()
        this.note(...owner, 'COMMIT')
        const death = this.#deaths.get(owner[0])
        this.#deaths.delete(owner[0])
        if (death !== 'before COMMIT') send()
        if (death !== undefined) connection.stream.destroy()
      }
      connection.query = sql => see(sql, () => query.call(connection, sql))
      connection.parse = statement => see(statement.text, () => parse.call(connection, statement))
    })
    pool.on('release', (_error, client) => {
      const owner = owners.get(client)
      if (owner !== undefined) this.note(...owner, 'connection is back')
      owners.delete(client)
    })
  }

  #noteEvent<Event extends ContextDescription> (event: Event, sight: (event: Event) => Sight): void {
    if (event.requestId !== undefined) this.note(event.requestId, NUMBERS[event.kind], sight(event))
  }
}

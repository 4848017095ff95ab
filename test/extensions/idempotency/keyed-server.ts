import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import Fastify from 'fastify'
import type { Test } from 'tap'
import idempotency, { IdempotencyKey, type IdempotencyOptions } from '../../../idempotency.ts'
import contextOrm, { type ContextOrmOptions } from '../../../index.ts'
import { Author, Book, type Orm, type TestDatabase } from '../../support/databases.ts'
import type { LogLine } from '../../support/server.ts'

interface KeyedOptions {
  orm: ContextOrmOptions['orm']
  context?: Partial<ContextOrmOptions>
  keys?: IdempotencyOptions
  server?: FastifyServerOptions
  /** Registered before and after the plugin for the keys. */
  before?: (app: FastifyInstance) => void
  after?: (app: FastifyInstance) => void
}

export interface Answer {
  status: number
  headers: Headers
  body: string
  json: any
}

export interface KeyedServer {
  app: FastifyInstance
  url: string
  log: LogLine[]
  /** With that key, or without one. */
  post (path: string, key?: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>
}

/** The orm of a test's database, with the table for keys. */
export async function withKeys ({ another }: TestDatabase, options: object = {}): Promise<Orm> {
  const orm = await another({ entities: [Author, Book, IdempotencyKey], ...options })
  await orm.schema.update({ safe: true })
  return orm
}

/** A real server on a real socket, with both plugins. */
export async function startKeyedServer (t: Test, options: KeyedOptions, routes: (app: FastifyInstance) => void): Promise<KeyedServer> {
  const log: LogLine[] = []
  const app = Fastify({ logger: { level: 'warn', stream: { write: line => { log.push(JSON.parse(line)) } } }, ...options.server }) as FastifyInstance
  t.teardown(() => app.close())
  await app.register(contextOrm, { orm: options.orm, ...options.context })
  options.before?.(app)
  await app.register(idempotency, options.keys ?? {})
  options.after?.(app)
  app.register(async app => { routes(app) })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  return {
    app,
    url,
    log,
    post: async (path, key, body = {}, headers = {}) => answerOf(await fetch(url + path, {
      method: 'POST',
      headers: { ...key === undefined ? {} : { 'idempotency-key': key }, 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body)
    }))
  }
}

/** Several, each with a MikroORM of its own: as processes have that share a database. */
export async function startKeyedServers (t: Test, database: TestDatabase, count: number, routes: (app: FastifyInstance) => void, ormOptions?: object): Promise<KeyedServer[]> {
  const servers: KeyedServer[] = []
  while (servers.length < count) servers.push(await startKeyedServer(t, { orm: await withKeys(database, ormOptions) }, routes))
  return servers
}

export async function answerOf (response: Response): Promise<Answer> {
  const body = await response.text()
  return {
    status: response.status,
    headers: response.headers,
    body,
    get json () { return JSON.parse(body) }
  }
}

export const ONCE = { idempotency: true } as const

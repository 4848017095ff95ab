import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import type { Test } from 'tap'
import contextOrm, { type ContextOrmOptions } from '../../index.ts'

type Routes = (app: FastifyInstance) => void

interface ServerOptions extends Partial<ContextOrmOptions> {
  orm: ContextOrmOptions['orm']
  /** Fastify's own options. */
  server?: FastifyServerOptions
}

export interface Server {
  app: FastifyInstance
  log: LogLine[]
  get (path: string): Promise<Response>
  post (path: string, body?: object): Promise<Response>
  /** What a reply with a status of 500 or more says, with what the log says of it instead of what the client may know. */
  failure (response: Promise<Response>): Promise<unknown>
}

export interface LogLine {
  level: number
  msg: string
  err?: { code?: string, message: string, type: string }
}

/** A real server on a real socket, with the plugin registered first, unless `before` declares routes before it. */
export async function startServer (t: Test, { server, ...options }: ServerOptions, routes: Routes, before: Routes = () => {}): Promise<Server> {
  const log: LogLine[] = []
  const app = Fastify({ logger: { level: 'warn', stream: { write: line => { log.push(JSON.parse(line)) } } }, ...server }) as FastifyInstance
  t.teardown(() => app.close())
  before(app)
  app.register(contextOrm, options)
  app.register(async app => { routes(app) })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  return {
    app,
    log,
    failure: async response => ({ ...await (await response).json() as object, message: log.findLast(({ err }) => err !== undefined)?.err?.message }),
    get: path => fetch(url + path),
    post: (path, body = {}) => fetch(url + path, {
      method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body), redirect: 'manual'
    })
  }
}

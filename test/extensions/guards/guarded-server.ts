import type { FastifyInstance } from 'fastify'
import { createServer, type Server as HttpServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import guards, { type GuardOptions } from '../../../guards.ts'
import type { Orm } from '../../support/databases.ts'
import { startServer, type Server } from '../../support/server.ts'

/** A real server with guards. */
export async function startGuarded (t: Test, orm: Orm, options: GuardOptions, routes: (app: FastifyInstance) => void): Promise<Server> {
  return await startServer(t, { orm }, app => {
    app.register(guards, options)
    app.register(async app => { routes(app) })
  })
}

/** What the guards have logged. */
export function told ({ log }: Server): string[] {
  return log.filter(line => (line as { code?: string }).code === 'FST_ORM_GUARD').map(({ msg }) => msg)
}

/** A server that others call, and when it answers is up to the test. */
export async function startRemote (t: Test, answer: Promise<unknown> = Promise.resolve()): Promise<string> {
  const server: HttpServer = createServer((_request, response) => { answer.then(() => response.end('remote')) })
  t.teardown(() => server.close())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

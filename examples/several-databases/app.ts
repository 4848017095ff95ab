/**
 * A shop on two databases: the main one, on PostgreSQL or SQLite, has the truth, and `reporting`, on SQLite, has what is
 * counted. An order writes both in one request. Should only the main one commit, an outbox in it says what reporting
 * lacks, and is copied later.
 *
 *     npm run example -- several-databases
 *     curl localhost:3000/orders -H 'content-type: application/json' -d '[{"product":"Pen","quantity":2}]'
 *     curl localhost:3000/report
 *
 * In a project of one's own, the plugin is told which database has which type, and `em('reporting')` has what only SQL
 * databases have, such as `createQueryBuilder()`:
 *
 *     type Main = Awaited<ReturnType<typeof openMain>>
 *     type Reporting = Awaited<ReturnType<typeof openReporting>>
 *
 *     declare module 'fastify-context-orm' {
 *       interface Register { orm: [Main, Reporting], orms: { default: Main, reporting: Reporting } }
 *     }
 */
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import contextOrm from 'fastify-context-orm'
import { openDatabases, type DatabasesOptions } from './databases.ts'
import { handleError } from './error-handler.ts'
import { orderRoutes } from './order-routes.ts'
import { copyOutboxRegularly } from './outbox.ts'
import { reportRoutes } from './report-routes.ts'

export interface AppOptions {
  databases: DatabasesOptions
  logger?: FastifyServerOptions['logger']
}

export function buildApp ({ databases, logger }: AppOptions): FastifyInstance {
  const app = Fastify({ logger })
  app.setErrorHandler(handleError)
  app.register(contextOrm, { orm: () => openDatabases(databases) })
  app.register(orderRoutes)
  app.register(reportRoutes)
  app.register(copyOutboxRegularly)
  return app
}

import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import contextOrm from 'fastify-context-orm'
import observability from 'fastify-context-orm/observability'
import { bookRoutes, type BookOptions } from './books.ts'
import { openDatabase, type DatabaseOptions } from './database.ts'
import type { Telemetry } from './telemetry.ts'

export interface AppOptions extends BookOptions {
  database: DatabaseOptions
  telemetry: Telemetry
  logger?: FastifyServerOptions['logger']
}

export function buildApp ({ database, telemetry, announce, logger }: AppOptions): FastifyInstance {
  const { meterProvider, tracerProvider, prometheus } = telemetry
  const app = Fastify({ logger })
  app.register(observability, { meterProvider, tracerProvider, names: ['look up', 'restock'] })
  app.register(contextOrm, { orm: () => openDatabase(database) })
  app.register(bookRoutes, { prefix: '/books', announce })
  app.get('/metrics', { config: { orm: false } }, (request, reply) => {
    reply.hijack()
    prometheus.getMetricsRequestHandler(request.raw, reply.raw)
  })
  return app
}

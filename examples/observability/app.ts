import type { Tracer } from '@opentelemetry/api'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
// in a project of one's own: from 'fastify-context-orm'
import contextOrm from '../../index.ts'
import { bookRoutes, type BookOptions } from './books.ts'
import { openDatabase, type DatabaseOptions } from './database.ts'
import observability from './observability.ts'

export interface AppOptions extends BookOptions {
  database: DatabaseOptions
  tracer: Tracer
  logger?: FastifyServerOptions['logger']
}

export function buildApp ({ database, tracer, announce, logger }: AppOptions): FastifyInstance {
  const app = Fastify({ logger })
  app.register(observability, { tracer, jobs: ['look up', 'restock'] })
  app.register(contextOrm, { orm: () => openDatabase(database) })
  app.register(bookRoutes, { prefix: '/books', announce })
  return app
}

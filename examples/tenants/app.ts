import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import contextOrm from 'fastify-context-orm'
import { openDatabase, type DatabaseOptions } from './database.ts'
import { noteRoutes } from './note-routes.ts'
import { tenants, type TenantsOptions } from './tenants.ts'

export interface AppOptions extends TenantsOptions {
  database: DatabaseOptions
  logger?: FastifyServerOptions['logger']
}

export function buildApp ({ database, tokens, logger }: AppOptions): FastifyInstance {
  const app = Fastify({ logger, pluginTimeout: 60_000 }) // PGlite takes its time to start on a busy machine
  // what the function opens, the plugin closes with the app
  app.register(contextOrm, { orm: () => openDatabase(database) })
  app.register(tenants, { tokens })
  app.register(noteRoutes, { prefix: '/notes' })
  return app
}

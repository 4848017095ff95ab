import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import contextOrm from 'fastify-context-orm'
import inspector from 'fastify-context-orm/inspector'
import { authorRoutes } from './author-routes.ts'
import { bookRoutes } from './book-routes.ts'
import { openDatabase, type DatabaseOptions } from './database.ts'
import { handleError } from './error-handler.ts'

export interface AppOptions {
  database: DatabaseOptions
  logger?: FastifyServerOptions['logger']
  /** Shows what the requests do, on `/_orm`. */
  isInspected?: boolean
}

export function buildApp ({ database, logger, isInspected = false }: AppOptions): FastifyInstance {
  const app = Fastify({ logger })
  app.setErrorHandler(handleError)
  // what the function opens, the plugin closes with the app
  app.register(contextOrm, { orm: () => openDatabase(database) })
  if (isInspected) app.register(inspector)
  app.register(bookRoutes, { prefix: '/books' })
  app.register(authorRoutes, { prefix: '/authors' })
  return app
}

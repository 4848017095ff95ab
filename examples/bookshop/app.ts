import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
// in a project of one's own: from 'fastify-context-orm'
import contextOrm from '../../index.ts'
import { authorRoutes } from './author-routes.ts'
import { bookRoutes } from './book-routes.ts'
import { openDatabase, type DatabaseOptions } from './database.ts'
import { handleError } from './error-handler.ts'

export interface AppOptions {
  database: DatabaseOptions
  logger?: FastifyServerOptions['logger']
}

export function buildApp ({ database, logger }: AppOptions): FastifyInstance {
  const app = Fastify({ logger })
  app.setErrorHandler(handleError)
  // what the function opens, the plugin closes with the app
  app.register(contextOrm, { orm: () => openDatabase(database) })
  app.register(bookRoutes, { prefix: '/books' })
  app.register(authorRoutes, { prefix: '/authors' })
  return app
}

import { MikroORM } from '@mikro-orm/postgresql'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import contextOrm from 'fastify-context-orm'
import { Note } from './entities.ts'
import { noteRoutes } from './note-routes.ts'

export interface AppOptions {
  primary: string
  replicas: string[]
  /** The same in all processes. */
  secret: string
  logger?: FastifyServerOptions['logger']
}

export function buildApp ({ primary, replicas, secret, logger }: AppOptions): FastifyInstance {
  const app = Fastify({ logger })
  app.register(contextOrm, {
    orm: () => MikroORM.init({
      entities: [Note],
      clientUrl: primary,
      replicas: replicas.map((clientUrl, i) => ({ clientUrl, name: `replica ${i + 1}` }))
    }),
    replicas: { readYourWrites: 'cookie', secret, wait: 100 }
  })
  app.register(noteRoutes)
  return app
}

/**
 * Payments that happen once, however often a client sends them: the key, the payment and the reply are committed together.
 *
 *     node examples/payments/server.ts
 *     curl localhost:3000/payments -H 'authorization: jane' -H 'idempotency-key: 1' -H 'content-type: application/json' -d '{"to":2,"amount":100}'
 *
 * Send it again: the reply is the same, and has a header `idempotency-replayed`.
 */
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import idempotency from 'fastify-context-orm/idempotency'
import contextOrm from 'fastify-context-orm'
import { openDatabase } from './database.ts'
import { paymentRoutes } from './payment-routes.ts'

export interface AppOptions {
  file: string
  logger?: FastifyServerOptions['logger']
}

export function buildApp ({ file, logger }: AppOptions): FastifyInstance {
  const app = Fastify({ logger })
  app.register(contextOrm, { orm: () => openDatabase(file) })
  // a key of one account is none of another's
  app.register(idempotency, { scope: request => String(request.account!.id), cleanUpEvery: 60_000 })
  app.register(paymentRoutes)
  return app
}

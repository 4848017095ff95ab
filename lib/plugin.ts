import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { Databases } from './databases.ts'
import { CONTEXT, createLifecycle, entityManagerOf } from './lifecycle.ts'
import { checkPluginOptions, type ContextOrmOptions } from './options.ts'
import { Routes } from './routes.ts'
import type { RegisteredOrm } from './types.ts'

/**
 * Gives every request its own EntityManager (`request.em`, `em()`), committed before the reply leaves and rolled back
 * on errors. See `ContextOrmOptions` for the options, each of which is checked here (`FST_ORM_BAD_OPTION`).
 */
async function contextOrm (fastify: FastifyInstance, options: ContextOrmOptions): Promise<void> {
  const defaults = checkPluginOptions(options)
  const databases = await Databases.open(options.orm)
  fastify.addHook('onClose', () => databases.close())

  fastify.decorate('orm', databases.get() as RegisteredOrm)
  fastify.decorateRequest(CONTEXT, null)
  fastify.decorateRequest('em', { getter: entityManagerOf })

  const lifecycle = createLifecycle(databases, new Routes(defaults, hasRoutes(fastify)))
  fastify.addHook('onRoute', lifecycle.appendToRoute)
  fastify.addHook('onRequest', lifecycle.openContext)
  fastify.addHook('preSerialization', lifecycle.flushBeforeSerializationWithoutRoute)
  fastify.addHook('onSend', lifecycle.settleBeforeSendWithoutRoute)
  fastify.addHook('onError', lifecycle.rollbackOnError)
}

/** Fastify 5.12 prints these words for an app without routes; were they others, each request would be looked at. */
function hasRoutes (fastify: FastifyInstance): boolean {
  return fastify.printRoutes().trim() !== '(empty tree)'
}

const plugin: FastifyPluginAsync<ContextOrmOptions> = fp(contextOrm, { name: 'fastify-context-orm', fastify: '5.x' })

export default plugin

import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { resolveInContexts } from './context-resolution.ts'
import { CONTEXT, createLifecycle, entityManagerOf } from './lifecycle.ts'
import { checkPluginOptions, openDatabases, type ContextOrmOptions } from './options.ts'
import { Routes } from './routes.ts'

/**
 * Gives every request its own EntityManager (`request.em`, `em()`), committed before the reply leaves and rolled back
 * on errors. See `ContextOrmOptions` for the options, each of which is checked here (`FST_ORM_BAD_OPTION`).
 */
async function contextOrm (fastify: FastifyInstance, options: ContextOrmOptions): Promise<void> {
  const defaults = checkPluginOptions(options)
  const databases = await openDatabases(options.orm)
  const orms = [...databases.values()]

  const undo = orms.map(resolveInContexts)
  fastify.addHook('onClose', async () => {
    for (const undoOne of undo) undoOne()
    if (typeof options.orm === 'function') await Promise.all(orms.map(orm => orm.close()))
  })

  fastify.decorate('orm', orms[0]!)
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

export default fp(contextOrm, { name: 'fastify-context-orm', fastify: '5.x' })

import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { Databases } from './databases.ts'
import { FST_ORM_ALREADY_REGISTERED } from './errors.ts'
import { appendHooks, CONTEXT, createLifecycle, entityManagerOf } from './lifecycle.ts'
import { checkPluginOptions, type ContextOrmOptions } from './options.ts'
import { Routes } from './routes.ts'
import type { RegisteredOrm, RegisteredOrms } from './types.ts'

/**
 * Gives every request its own EntityManager (`request.em`, `em()`), committed before the reply leaves and rolled back
 * on errors. See `ContextOrmOptions` for the options, each of which is checked here (`FST_ORM_BAD_OPTION`).
 */
async function contextOrm (fastify: FastifyInstance, options: ContextOrmOptions): Promise<void> {
  const { routes: defaults, statusCodes, closeTimeout } = checkPluginOptions(options)
  if (fastify.hasRequestDecorator(CONTEXT)) throw new FST_ORM_ALREADY_REGISTERED()
  const databases = await Databases.open(options.orm)
  fastify.addHook('preClose', done => {
    databases.startClosing(closeTimeout)
    done()
  })
  fastify.addHook('onClose', () => databases.close())

  // as getters, since a database may move
  fastify.decorate('orm', { getter: () => databases.get().orm as RegisteredOrm })
  fastify.decorate('orms', { getter: () => databases.orms as RegisteredOrms })
  fastify.decorateRequest(CONTEXT, null)
  fastify.decorateRequest('em', { getter: entityManagerOf })

  const routes = new Routes(defaults, appendHooks)
  const lifecycle = createLifecycle(databases, routes, statusCodes)
  fastify.addHook('onRoute', options => routes.add(options))
  fastify.addHook('onRequest', lifecycle.openContext)
  fastify.addHook('preSerialization', lifecycle.flushBeforeSerializationForEverybody)
  fastify.addHook('onSend', lifecycle.settleBeforeSendForEverybody)
  fastify.addHook('onError', lifecycle.rollbackOnError)
}

const plugin: FastifyPluginAsync<ContextOrmOptions> = fp(contextOrm, { name: 'fastify-context-orm', fastify: '5.x' })

export default plugin

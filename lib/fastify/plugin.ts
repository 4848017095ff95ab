import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { Databases } from '../databases/databases.ts'
import { FST_ORM_ALREADY_REGISTERED } from '../errors.ts'
import { createLifecycle, ENDS, entityManagerOf } from './lifecycle.ts'
import { checkPluginOptions } from '../options/checks.ts'
import type { ContextOrmOptions, RouteOrmOptions } from '../options/options.ts'
import { CONTEXT } from './context-of-request.ts'
import { Routes } from './routes.ts'
import type { ContextEntityManager, RegisteredOrm, RegisteredOrms } from '../options/types.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The EntityManager of this request, of the first database; `em(name)` has the others'. */
    readonly em: ContextEntityManager
  }

  interface FastifyInstance {
    /** The MikroORM that `fastify-context-orm` was registered with, of several the first. */
    readonly orm: RegisteredOrm
    /** All MikroORMs that it was registered with, by their `contextName`. */
    readonly orms: RegisteredOrms
  }

  interface FastifyContextConfig {
    /** How this route's requests use the database; `false` if they must not. */
    orm?: (RouteOrmOptions & object) | false
  }
}

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

  const routes = new Routes(defaults, ENDS)
  const { openContext, rollbackOnError } = createLifecycle(databases, routes, statusCodes)
  fastify.addHook('onRoute', options => routes.check(options))
  fastify.addHook('onRequest', openContext)
  fastify.addHook('preSerialization', ENDS.preSerialization.alone)
  fastify.addHook('onSend', ENDS.onSend.alone)
  fastify.addHook('onError', rollbackOnError)
}

const plugin: FastifyPluginAsync<ContextOrmOptions> = fp(contextOrm, { name: 'fastify-context-orm', fastify: '5.x' })

export default plugin

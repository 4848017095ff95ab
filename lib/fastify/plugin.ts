import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { Databases } from '../databases/databases.ts'
import { FST_ORM_ALREADY_REGISTERED } from '../errors.ts'
import { createLifecycle, OUTER_HOOKS, entityManagerOf } from './lifecycle.ts'
import { checkPluginOptions } from '../options/checks.ts'
import type { ContextOrmOptions, RouteOrmOptions } from '../options/options.ts'
import { CONTEXT } from './context-of-request.ts'
import { Routes } from './routes.ts'
import { tokenTransport } from './token-transports.ts'
import type { ContextEntityManager, RegisteredOrm, RegisteredOrms } from '../options/types.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The EntityManager of this request, on the first database. `em(name)` gives those of the others. */
    readonly em: ContextEntityManager
  }

  interface FastifyInstance {
    /** The MikroORM that `fastify-context-orm` was registered with, or the first of several. */
    readonly orm: RegisteredOrm
    /** All MikroORMs that it was registered with, by their `contextName`. */
    readonly orms: RegisteredOrms
  }

  interface FastifyContextConfig {
    /** How the requests of this route use the database; `false` if they do not. */
    orm?: (RouteOrmOptions & object) | false
  }
}

/**
 * Gives every request its own EntityManager (`request.em`, `em()`), committed before the reply leaves and rolled back
 * on errors. See `ContextOrmOptions` for the options, each of which is checked here (`FST_ORM_BAD_OPTION`).
 */
async function contextOrm (fastify: FastifyInstance, options: ContextOrmOptions): Promise<void> {
  const { routes: defaults, statusCodes, closeTimeout, replicas } = checkPluginOptions(options)
  if (fastify.hasRequestDecorator(CONTEXT)) throw new FST_ORM_ALREADY_REGISTERED()
  const databases = await Databases.open(options.orm, replicas)
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

  const routes = new Routes({ ...defaults, tokenTransport: replicas && tokenTransport(replicas) }, OUTER_HOOKS)
  const { openContext, rollbackOnError } = createLifecycle(databases, routes, statusCodes)
  fastify.addHook('onRoute', options => routes.check(options))
  fastify.addHook('onRequest', openContext)
  fastify.addHook('preSerialization', OUTER_HOOKS.preSerialization.alone)
  fastify.addHook('onSend', OUTER_HOOKS.onSend.alone)
  fastify.addHook('onError', rollbackOnError)
}

const plugin: FastifyPluginAsync<ContextOrmOptions> = fp(contextOrm, { name: 'fastify-context-orm', fastify: '5.x' })

export default plugin

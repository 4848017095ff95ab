import type { MikroORM } from '@mikro-orm/core'
import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { FST_ORM_BAD_OPTION } from '../../errors.ts'
import { cleanUpRegularly } from './clean-up.ts'
import { IdempotencyKey } from './entity.ts'
import { Keys } from './keys.ts'
import { Lanes } from './lanes.ts'
import { checkPluginOptions, PLUGIN, type IdempotencyOptions, type IdempotencyRouteOptions } from './options.ts'
import { KEYED, Routes } from './routes.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Whether requests with an idempotency key happen once, and how. Default: `false`. */
    idempotency?: boolean | (IdempotencyRouteOptions & object)
  }
}

/**
 * Lets requests that bring a key (`Idempotency-Key`) happen once, on routes with `config: { idempotency: true }`: the key and the
 * reply are committed with the work, and the same request gets the same reply again. Registered after `fastify-context-orm`.
 */
async function idempotency (fastify: FastifyInstance, options: IdempotencyOptions): Promise<void> {
  const settings = checkPluginOptions(options)
  const orm = (): MikroORM => settings.database === undefined ? fastify.orm : (fastify.orms as Record<string, MikroORM>)[settings.database]!
  if (settings.database !== undefined && orm() === undefined) {
    throw new FST_ORM_BAD_OPTION(PLUGIN, 'orm', `a database that fastify-context-orm was registered with (${Object.keys(fastify.orms).join(', ')})`, settings.database)
  }
  if (!orm().getMetadata().has(IdempotencyKey.meta.class)) {
    throw new FST_ORM_BAD_OPTION(PLUGIN, 'orm', 'a MikroORM that has IdempotencyKey among its entities', 'one that has not')
  }

  const routes = new Routes(settings, { keys: new Keys(settings.database), lanes: new Lanes() })
  fastify.decorateRequest(KEYED, null)
  fastify.addHook('onRoute', route => routes.arm(route))
  if (fastify.printRoutes() !== NO_ROUTES) fastify.addHook('preHandler', routes.refuseUnarmed)
  if (settings.cleanUpEvery !== undefined) cleanUpRegularly(fastify, settings.cleanUpEvery, orm)
}

/** What Fastify prints of an app that has none. */
const NO_ROUTES = '(empty tree)'

const plugin: FastifyPluginAsync<IdempotencyOptions> = fp(idempotency, { name: PLUGIN, fastify: '5.x', dependencies: ['fastify-context-orm'] })

export default plugin

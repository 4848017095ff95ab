import { AsyncLocalStorage } from 'node:async_hooks'
import type { FastifyBaseLogger, FastifyInstance, FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { checkGuardOptions, PLUGIN, type GuardOptions } from './options.ts'
import { guardContexts } from './start-guards.ts'

/**
 * Guards for development and tests: each looks for one kind of mistake, and names the line of the app that makes it, in the log of the
 * request or as an error. Those that are off cost nothing. Registered before or after `fastify-context-orm`.
 */
async function guards (fastify: FastifyInstance, options: GuardOptions): Promise<void> {
  const settings = checkGuardOptions(options)
  if (Object.keys(settings.levels).length === 0) return
  const logs = new AsyncLocalStorage<FastifyBaseLogger>()
  const end = guardContexts(settings, view => {
    const log = logs.getStore()
    // requests of other apps of the process are theirs
    return log ?? (view.requestId === undefined ? fastify.log : null)
  })
  fastify.addHook('onRequest', (request, _reply, done) => logs.run(request.log, done))
  fastify.addHook('onClose', async () => end())
}

const plugin: FastifyPluginAsync<GuardOptions> = fp(guards, { name: PLUGIN, fastify: '5.x' })

export default plugin

import type { MikroORM } from '@mikro-orm/core'
import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { assertMayRun } from './access.ts'
import { Live } from './live.ts'
import { checkInspectorOptions, PLUGIN, type InspectorOptions } from './options.ts'
import { watchCalls } from './outgoing-calls.ts'
import { readPageFiles } from './page-files.ts'
import { Pools } from './pools.ts'
import { Records } from './records.ts'
import { watchRequests } from './requests.ts'
import { declareRoutes } from './routes.ts'
import { watchContexts } from './subscriptions.ts'
import { Texts } from './texts.ts'

/**
 * Serves a page, for development, that shows what contexts do: which line began a transaction, what was sent in it, who holds connections
 * and who waits for one. Registered after `fastify-context-orm`.
 */
async function inspector (fastify: FastifyInstance, options: InspectorOptions): Promise<void> {
  const { path, guard, values } = checkInspectorOptions(options)
  assertMayRun(guard)
  const files = await readPageFiles(fastify.prefix + path)
  const orms = (): Record<string, MikroORM> => fastify.orms as Record<string, MikroORM>
  const records = new Records(new Texts(name => orms()[name]?.em.getPlatform(), values))
  const pools = new Pools(orms, records)
  const live = new Live(records, pools)
  const stops = [watchContexts(records), watchCalls(records)]

  watchRequests(fastify, records, fastify.prefix + path)
  declareRoutes(fastify, { path, guard, files, records, pools, live })
  fastify.addHook('preClose', done => {
    live.close()
    done()
  })
  fastify.addHook('onClose', () => {
    for (const stop of stops) stop()
  })
}

const plugin: FastifyPluginAsync<InspectorOptions> = fp(inspector, { name: PLUGIN, fastify: '5.x', dependencies: ['fastify-context-orm'] })

export default plugin

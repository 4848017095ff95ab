import { createNoopMeter, metrics as metricsApi, trace } from '@opentelemetry/api'
import type { MikroORM } from '@mikro-orm/core'
import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { listen } from '../../util/listen.ts'
import { metricsOfContexts, observePendingRequests } from './metrics.ts'
import { checkObservabilityOptions, PLUGIN, type ObservabilityOptions } from './options.ts'
import { spansOfContexts } from './spans.ts'

/**
 * Metrics and spans of all contexts of the process, by OpenTelemetry. Register it before fastify-context-orm: Fastify 5.12 closes plugins
 * in the reverse order, and so it sees the last contexts settle.
 */
async function observability (fastify: FastifyInstance, options: ObservabilityOptions): Promise<void> {
  checkObservabilityOptions(options)
  const { metrics = true, spans = true, names = [], meterProvider = metricsApi, tracerProvider = trace } = options
  const orms = (): Record<string, MikroORM> => (fastify as { orms?: Record<string, MikroORM> }).orms ?? {}
  const ormOf = (database: string): MikroORM | undefined => orms()[database]
  const ends: Array<() => void> = []
  const none = createNoopMeter() // that of no SDK, too: it stays so when an SDK comes later
  const meter = metrics ? meterProvider.getMeter(PLUGIN) : none
  if (meter !== none) {
    ends.push(listen(metricsOfContexts(meter, new Set(names), ormOf)), observePendingRequests(meter, () => Object.keys(orms()).join(', ')))
  }
  if (spans !== false) ends.push(listen(spansOfContexts(tracerProvider.getTracer(PLUGIN), ormOf, spans === 'statements')))
  if (ends.length > 0) fastify.addHook('onClose', async () => { for (const end of ends) end() })
}

const plugin: FastifyPluginAsync<ObservabilityOptions> = fp(observability, { name: PLUGIN, fastify: '5.x' })

export default plugin

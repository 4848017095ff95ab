import type { Tracer } from '@opentelemetry/api'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { Registry } from 'prom-client'
import { listenToContexts } from './events.ts'
import { metricsOfContexts } from './metrics.ts'
import { spansOfContexts } from './spans.ts'

export interface ObservabilityOptions {
  tracer: Tracer
  /** Names of a `runInContext()` that have metrics of their own. */
  jobs: readonly string[]
}

/**
 * Serves the metrics on `/metrics`, and hands the spans to the tracer. Register it before fastify-context-orm: Fastify
 * 5.12 closes plugins in the reverse order, and so it sees the last contexts settle.
 */
async function observability (app: FastifyInstance, { tracer, jobs }: ObservabilityOptions): Promise<void> {
  const registry = new Registry()
  const ends = [
    listenToContexts(metricsOfContexts(registry, new Set(jobs))),
    listenToContexts(spansOfContexts(tracer, name => app.orms[name]?.config.get('dbName')))
  ]
  app.addHook('onClose', async () => { for (const end of ends) end() })
  app.get('/metrics', { config: { orm: false } }, async (_request, reply) => {
    reply.type(registry.contentType)
    return await registry.metrics()
  })
}

export default fp(observability, { name: 'observability', fastify: '5.x' })

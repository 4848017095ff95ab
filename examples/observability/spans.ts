import { SpanStatusCode, type Attributes, type Tracer } from '@opentelemetry/api'
// in a project of one's own: from 'fastify-context-orm'
import type { SettledEvent } from '../../index.ts'
import type { ContextListener } from './events.ts'

/**
 * Makes a span of each context, and of each database that it has used, when it is settled. Its parent is whatever span is
 * active in the context, such as that of the request: events are published from within.
 *
 * `databaseOf` knows what the database of a `contextName` is called where it lives.
 */
export function spansOfContexts (tracer: Tracer, databaseOf: (name: string) => string | undefined): ContextListener {
  return {
    settled (event) {
      const end = Date.now()
      const span = tracer.startSpan(`context ${event.kind === 'request' ? `${event.method} ${event.route}` : event.name}`, {
        startTime: end - event.duration,
        attributes: { ...attributesOf(event), 'db.namespace': databaseOf(event.database) }
      })
      const hasFailed = event.outcome === 'commitFailed' || event.error !== undefined
      if (hasFailed) {
        span.setAttribute('error.type', typeOf(event.error))
        span.setStatus({ code: SpanStatusCode.ERROR, message: `${event.outcome} (${event.ending})` })
      }
      span.end(end)
    }
  }
}

/** Those that OpenTelemetry's semantic conventions have, under their names, and the rest under ours. */
function attributesOf (event: SettledEvent): Attributes {
  return {
    'http.request.method': event.method,
    'http.route': event.route,
    'fastify_context_orm.kind': event.kind,
    'fastify_context_orm.database': event.database,
    'fastify_context_orm.name': event.name,
    'fastify_context_orm.request_id': event.requestId,
    'fastify_context_orm.outcome': event.outcome,
    'fastify_context_orm.ending': event.ending,
    'fastify_context_orm.held': event.held,
    'fastify_context_orm.reads': event.reads,
    'fastify_context_orm.writes': event.writes,
    'fastify_context_orm.flushes': event.flushes
  }
}

/** And not its message: that of a database quotes values, which belong into the log at most. */
function typeOf (error: unknown): string {
  return error instanceof Error ? error.name : '_OTHER'
}

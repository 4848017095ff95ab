import { SpanKind, SpanStatusCode, type Attributes, type Span, type Tracer } from '@opentelemetry/api'
import type { ContextOrmChannels, SettledEvent } from '../../../index.ts'
import { shorten } from '../../sql/statement.ts'
import type { Listeners } from '../../util/listen.ts'
import { attributesOfStatement, typeOf, type OrmOf } from './statements.ts'

/**
 * Makes a span of each context, and of each database that it has used, when it is settled; and of each statement, if that is asked for. Its
 * parent is whatever span is active in the context, such as that of the request: events are published from within.
 */
export function spansOfContexts (tracer: Tracer, ormOf: OrmOf, withStatements: boolean): Listeners<ContextOrmChannels> {
  return {
    'fastify-context-orm:settled' (event) {
      const end = Date.now()
      const span = tracer.startSpan(`context ${event.kind === 'request' ? `${event.method} ${event.route ?? '(no route)'}` : event.name}`, {
        startTime: end - event.duration,
        attributes: { ...attributesOf(event), 'db.namespace': ormOf(event.database)?.config.get('dbName') }
      })
      const hasFailed = event.outcome === 'commitFailed' || event.error !== undefined
      if (hasFailed) fail(span, event.error, `${event.outcome} (${event.ending})`)
      span.end(end)
    },
    ...(withStatements && {
      'fastify-context-orm:statement' (event) {
        const start = Date.now() - (performance.now() - event.started)
        const attributes = attributesOfStatement(event, ormOf)
        const span = tracer.startSpan(`${String(attributes['db.operation.name'])} ${event.database}`, {
          kind: SpanKind.CLIENT,
          startTime: start,
          attributes: { ...attributes, 'db.query.summary': shorten(event.sql), 'fastify_context_orm.transaction': event.transaction, 'fastify_context_orm.waited': event.waited / 1000 }
        })
        if (event.error !== undefined) fail(span, event.error, event.sent ? 'it has failed' : 'it was never sent')
        span.end(start + event.duration)
      }
    } satisfies Listeners<ContextOrmChannels>)
  }
}

function fail (span: Span, error: unknown, message: string): void {
  span.setAttribute('error.type', typeOf(error))
  span.setStatus({ code: SpanStatusCode.ERROR, message })
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
    'fastify_context_orm.held': event.held / 1000,
    'fastify_context_orm.waited': event.waited / 1000,
    'fastify_context_orm.reads': event.reads,
    'fastify_context_orm.writes': event.writes,
    'fastify_context_orm.flushes': event.flushes,
    'fastify_context_orm.attempts': event.attempts
  }
}

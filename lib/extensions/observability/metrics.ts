import type { Attributes, Histogram, Meter } from '@opentelemetry/api'
import { contexts, type BegunEvent, type ContextOrmChannels, type ContextView, type SettledEvent, type StatementEvent } from '../../../index.ts'
import type { Listeners } from '../../util/listen.ts'
import { poolOf, seriesOf } from './names.ts'
import { attributesOfStatement, type OrmOf } from './statements.ts'

/** Those of OpenTelemetry's semantic conventions for durations of databases. */
const SECONDS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10]

/** Keeps the metrics of contexts; `known` are the names that a `runInContext()` is told apart by. */
export function metricsOfContexts (meter: Meter, known: ReadonlySet<string>, ormOf: OrmOf): Listeners<ContextOrmChannels> {
  const histogram = (name: string, description: string): Histogram => meter.createHistogram(name, { description, unit: 's', advice: { explicitBucketBoundaries: SECONDS } })
  const operation = histogram('db.client.operation.duration', 'Duration of database client operations')
  const duration = histogram('fastify_context_orm.context.duration', 'From the first use of a database to the end of the context')
  const held = histogram('fastify_context_orm.context.held', 'How long contexts have held a connection by their transactions; those without one are left out')
  const waited = histogram('fastify_context_orm.context.waited', 'How long statements of a context have waited for a connection, all together')
  const transactions = meter.createCounter('fastify_context_orm.transactions', { description: 'Transactions that have begun', unit: '{transaction}' })
  const statements = meter.createCounter('fastify_context_orm.statements', { description: 'Statements of contexts that are settled, reads and writes', unit: '{statement}' })
  const flushes = meter.createCounter('fastify_context_orm.flushes', { description: 'Flushes that had something to write', unit: '{flush}' })
  const failures = meter.createCounter('fastify_context_orm.failures', { description: 'What has failed after the outcome was decided, such as an afterCommit hook', unit: '{failure}' })
  const connections = connectionMetrics(histogram)

  const attributesOf = (event: SettledEvent | BegunEvent): Attributes => ({
    'fastify_context_orm.kind': event.kind,
    'fastify_context_orm.context': seriesOf(event, known),
    'fastify_context_orm.database': event.database
  })

  return {
    'fastify-context-orm:begun' (event) {
      transactions.add(1, attributesOf(event))
    },
    'fastify-context-orm:statement' (event) {
      connections(event)
      if (event.sent) operation.record(event.duration / 1000, attributesOfStatement(event, ormOf))
    },
    'fastify-context-orm:settled' (event) {
      const attributes = attributesOf(event)
      duration.record(event.duration / 1000, { ...attributes, 'fastify_context_orm.outcome': event.outcome, 'fastify_context_orm.ending': event.ending })
      if (event.held > 0) held.record(event.held / 1000, attributes)
      waited.record(event.waited / 1000, attributes)
      statements.add(event.reads, { ...attributes, 'fastify_context_orm.type': 'read' })
      statements.add(event.writes, { ...attributes, 'fastify_context_orm.type': 'write' })
      flushes.add(event.flushes, attributes)
    },
    'fastify-context-orm:failed' (event) {
      failures.add(1, { 'fastify_context_orm.kind': event.kind, 'fastify_context_orm.context': seriesOf(event, known) })
    }
  }
}

/** How long connections are used and waited for. A read in autocommit has one for itself, and a transaction until its end. */
function connectionMetrics (histogram: (name: string, description: string) => Histogram): (event: StatementEvent) => void {
  const used = histogram('db.client.connection.use_time', 'The time between borrowing a connection and returning it to the pool')
  const waited = histogram('db.client.connection.wait_time', 'The time it took to obtain an open connection from the pool')
  const begunAt = new WeakMap<ContextView, Map<number, number>>()
  return event => {
    const { context, kind, transaction, started, duration } = event
    const attributes = { 'db.client.connection.pool.name': poolOf(event) }
    const ended = started + duration
    if (event.sent && (kind === 'begin' || transaction === undefined)) waited.record(event.waited / 1000, attributes)
    if (event.sent && transaction === undefined) used.record(duration / 1000, attributes)
    if (kind === 'begin' && event.error === undefined) {
      const open = begunAt.get(context) ?? new Map<number, number>()
      begunAt.set(context, open.set(transaction!, started))
    } else if (kind === 'commit' || kind === 'rollback') {
      const begun = begunAt.get(context)?.get(transaction!)
      begunAt.get(context)?.delete(transaction!)
      if (begun !== undefined) used.record((ended - begun) / 1000, attributes)
    }
  }
}

/** Contexts that wait at the moment, asked for with each collection. Returns what ends that. */
export function observePendingRequests (meter: Meter, database: () => string): () => void {
  const pending = meter.createObservableUpDownCounter('db.client.connection.pending_requests', { description: 'The number of current pending requests for an open connection', unit: '{request}' })
  const observe: Parameters<typeof pending.addCallback>[0] = result => {
    result.observe(contexts().filter(({ isWaiting }) => isWaiting).length, { 'db.client.connection.pool.name': database() })
  }
  pending.addCallback(observe)
  return () => pending.removeCallback(observe)
}

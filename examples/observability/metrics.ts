import { Counter, Histogram, type Registry } from 'prom-client'
import type { ContextListener } from './events.ts'
import { nameOf } from './names.ts'

const CONTEXT = ['kind', 'context'] as const
const OF_DATABASE = [...CONTEXT, 'database'] as const
const SECONDS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30]

/** Keeps these metrics of contexts; `known` are the names that a `runInContext()` is told apart by. */
export function metricsOfContexts (registry: Registry, known: ReadonlySet<string>): ContextListener {
  const registers = [registry]
  const transactions = new Counter({
    registers,
    name: 'orm_transactions_total',
    help: 'Transactions that have begun',
    labelNames: OF_DATABASE
  })
  const contexts = new Counter({
    registers,
    name: 'orm_contexts_total',
    help: 'Contexts that have used a database and are settled, by what has become of them and why',
    labelNames: [...OF_DATABASE, 'outcome', 'ending'] as const
  })
  const duration = new Histogram({
    registers,
    name: 'orm_context_duration_seconds',
    help: 'From the first use of a database to the end of the context',
    labelNames: OF_DATABASE,
    buckets: SECONDS
  })
  const held = new Histogram({
    registers,
    name: 'orm_connection_held_seconds',
    help: 'How long contexts have held a connection by their transactions; those without one are left out',
    labelNames: OF_DATABASE,
    buckets: SECONDS
  })
  const statements = new Counter({
    registers,
    name: 'orm_statements_total',
    help: 'Statements of contexts that are settled, reads and writes',
    labelNames: [...OF_DATABASE, 'type'] as const
  })
  const flushes = new Counter({
    registers,
    name: 'orm_flushes_total',
    help: 'Flushes that had something to write',
    labelNames: OF_DATABASE
  })
  const failures = new Counter({
    registers,
    name: 'orm_failures_total',
    help: 'What has failed after the outcome was decided, such as an afterCommit hook',
    labelNames: CONTEXT
  })

  return {
    begun (event) {
      transactions.inc({ kind: event.kind, context: nameOf(event, known), database: event.database })
    },
    settled (event) {
      const labels = { kind: event.kind, context: nameOf(event, known), database: event.database }
      contexts.inc({ ...labels, outcome: event.outcome, ending: event.ending })
      duration.observe(labels, event.duration / 1000)
      if (event.held > 0) held.observe(labels, event.held / 1000)
      statements.inc({ ...labels, type: 'read' }, event.reads)
      statements.inc({ ...labels, type: 'write' }, event.writes)
      flushes.inc(labels, event.flushes)
    },
    failed (event) {
      failures.inc({ kind: event.kind, context: nameOf(event, known) })
    }
  }
}

import Fastify from 'fastify'
import { contexts, type ContextView } from 'fastify-context-orm'
import guards, { startGuards, type GuardLevel, type GuardOptions } from 'fastify-context-orm/guards'
import observability, { type ObservabilityOptions } from 'fastify-context-orm/observability'
import { metrics, trace } from '@opentelemetry/api'
import { describe, expect, test } from 'tstyche'

const app = Fastify()

describe('guards', () => {
  test('each has a level, and some a limit', () => {
    app.register(guards)
    app.register(guards, { outgoingCalls: 'error', allowedHosts: ['localhost'], repeatedStatements: 'warn', maxRepeats: 5, heldTransactions: 'off', maxHeldMs: 100 })
    app.register(guards, { foreignEntities: 'error', lostEntities: 'warn' })
    expect<GuardLevel>().type.toBe<'off' | 'warn' | 'error'>()
    expect<GuardOptions>().type.not.toBeAssignableFrom({ outgoingCalls: true })
    expect(startGuards({})).type.toBe<() => void>()
  })
})

describe('observability', () => {
  test('all of its options are optional', () => {
    app.register(observability)
    app.register(observability, { metrics: true, spans: 'statements', names: ['nightly'], meterProvider: metrics, tracerProvider: trace })
    expect<ObservabilityOptions>().type.not.toBeAssignableFrom({ spans: 'all' })
  })

  test('contexts() gives views', () => {
    expect(contexts()).type.toBe<ContextView[]>()
  })
})

import type { MeterProvider, TracerProvider } from '@opentelemetry/api'
import { checkOptions, REGISTER_OPTIONS, type Check } from '../../options/check-options.ts'

/** What `fastify-context-orm/observability` is registered with. */
export interface ObservabilityOptions {
  /** Whether it measures. Without an SDK, it does not. Default: `true`. */
  metrics?: boolean | undefined
  /** Whether it traces: contexts, or also each statement in them (`'statements'`). Default: `true`, contexts alone. */
  spans?: boolean | 'statements' | undefined
  /** Names of `runInContext()` that have time series of their own; others are `(other)`, since a name may hold an id. Default: none. */
  names?: readonly string[] | undefined
  /** Default: the global one of `@opentelemetry/api` at the time of registering. */
  meterProvider?: MeterProvider | undefined
  /** Default: the global one of `@opentelemetry/api`. */
  tracerProvider?: TracerProvider | undefined
}

/** Where an option is wrong, as errors say it. */
export const PLUGIN = 'fastify-context-orm/observability'

const OPTIONS: Record<keyof ObservabilityOptions, Check> = {
  metrics: ['true or false', value => typeof value === 'boolean'],
  spans: ["true, false or 'statements'", value => typeof value === 'boolean' || value === 'statements'],
  names: ['an array of names', value => Array.isArray(value) && value.every(name => typeof name === 'string')],
  meterProvider: ['a MeterProvider of OpenTelemetry', value => typeof value?.getMeter === 'function'],
  tracerProvider: ['a TracerProvider of OpenTelemetry', value => typeof value?.getTracer === 'function']
}

/** Throws `FST_ORM_BAD_OPTION`. */
export function checkObservabilityOptions (options: ObservabilityOptions): void {
  checkOptions(PLUGIN, options, OPTIONS, REGISTER_OPTIONS)
}

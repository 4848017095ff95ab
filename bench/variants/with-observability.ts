import type { EntityManager } from '@mikro-orm/core'
import contextOrm, { em } from '../../index.ts'
import type { Variant } from './variant.ts'

/** This plugin as it is by default, and the one for OpenTelemetry, without an SDK: nobody takes what it measures and traces. */
export const withObservability: Variant = async (app, orm) => {
  const { default: observability } = await import('../../observability.ts')
  await app.register(observability)
  await app.register(contextOrm, { orm })
  return em as () => EntityManager
}

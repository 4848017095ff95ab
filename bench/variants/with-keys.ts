import type { EntityManager } from '@mikro-orm/core'
import contextOrm, { em } from '../../index.ts'
import type { Variant } from './variant.ts'

/** This plugin as it is by default, and the one for idempotency keys after it. */
export const withKeys: Variant = async (app, orm) => {
  const { default: idempotency, IdempotencyKey } = await import('../../idempotency.ts')
  orm.discoverEntity(IdempotencyKey)
  await app.register(contextOrm, { orm })
  await app.register(idempotency)
  return em as () => EntityManager
}

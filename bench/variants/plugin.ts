import type { EntityManager } from '@mikro-orm/core'
import contextOrm, { em, type TransactionMode } from '../../index.ts'
import type { Variant } from './variant.ts'

/** This plugin, with that option. */
export function plugin (transaction: TransactionMode): Variant {
  return async (app, orm) => {
    await app.register(contextOrm, { orm, transaction })
    return em as () => EntityManager
  }
}

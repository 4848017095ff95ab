import type { EntityManager } from '@mikro-orm/core'
import contextOrm, { em } from '../../index.ts'
import type { Variant } from './variant.ts'

/** This plugin, with tokens that say where commits are. */
export const withTokens: Variant = async (app, orm) => {
  await app.register(contextOrm, { orm, replicas: { readYourWrites: 'header', secret: 'of the benchmark' } })
  return em as () => EntityManager
}

import type { EntityManager } from '@mikro-orm/core'
import contextOrm, { em } from '../../index.ts'
import type { Variant } from './variant.ts'

/** This plugin as it is by default, and the inspector, whose page nobody has open. */
export const withInspector: Variant = async (app, orm) => {
  const { default: inspector } = await import('../../inspector.ts')
  await app.register(contextOrm, { orm })
  await app.register(inspector)
  return em as () => EntityManager
}

import type { EntityManager } from '@mikro-orm/core'
import contextOrm, { em } from '../../index.ts'
import type { Variant } from './variant.ts'

/** This plugin as it is by default, and guards that are all off. */
export const withGuards: Variant = async (app, orm) => {
  const { default: guards } = await import('../../guards.ts')
  await app.register(contextOrm, { orm })
  await app.register(guards)
  return em as () => EntityManager
}

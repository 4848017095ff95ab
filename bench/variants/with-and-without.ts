import type { EntityManager } from '@mikro-orm/core'
import contextOrm, { em } from '../../index.ts'
import { declareWorkloads } from '../app.ts'
import { mikroOrmAlone } from './mikro-orm-alone.ts'
import type { Variant } from './variant.ts'

/** Below `/with`, this plugin as it is by default; below `/without`, MikroORM alone: on the same pool, in a process that V8 compiles for both. */
export const withAndWithout: Variant = async (app, orm, engine) => {
  await app.register(async child => {
    await child.register(contextOrm, { orm })
    declareWorkloads(child, em as () => EntityManager)
  }, { prefix: '/with' })
  await app.register(async child => { await mikroOrmAlone(child, orm, engine) }, { prefix: '/without' })
  return undefined
}

import type { EntityManager, MikroORM } from '@mikro-orm/core'
import type { FastifyInstance } from 'fastify'
import type { EngineName } from '../database.ts'

/**
 * Prepares an app as its user would, and says how its handlers reach their EntityManager. One that has nothing to do with
 * a database says nothing, and one that declares its own handlers does not either. What not every commit has, it imports itself: see
 * `--compare`.
 */
export type Variant = (app: FastifyInstance, orm: MikroORM, engine: EngineName) => Promise<(() => EntityManager) | undefined>

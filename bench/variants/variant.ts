import type { EntityManager, MikroORM } from '@mikro-orm/postgresql'
import type { FastifyInstance } from 'fastify'

/**
 * Prepares an app as its user would, and says how its handlers reach their EntityManager. One that has nothing to do with
 * a database says nothing.
 */
export type Variant = (app: FastifyInstance, orm: MikroORM) => Promise<(() => EntityManager) | undefined>

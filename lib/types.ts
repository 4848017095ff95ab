import type { EntityManager, MikroORM } from '@mikro-orm/core'
import type { RouteOrmOptions } from './options.ts'

/**
 * Augment this once with the type of your MikroORM, and `request.em`, `em()` and `fastify.orm` have its driver's:
 *
 * ```ts
 * declare module 'fastify-context-orm' {
 *   interface Register { orm: typeof orm }
 * }
 * ```
 */
export interface Register {}

/** The registered MikroORM, of several the first; of a function or promise, what it gives. */
export type RegisteredOrm = Register extends { orm: infer Orm } ? First<Opened<Orm>> : MikroORM

/** The EntityManager of the registered MikroORM's driver, or MikroORM's own. */
export type ContextEntityManager = Register extends { orm: unknown }
  ? RegisteredOrm extends { em: infer Em extends EntityManager } ? Em : never
  : EntityManager

type Opened<Orm> = Awaited<Orm extends (...args: never) => infer Made ? Made : Orm>
type First<Orms> = Orms extends readonly unknown[] ? Orms[0] : Orms

declare module 'fastify' {
  interface FastifyRequest {
    /** The EntityManager of this request, of the first database; `em(name)` has the others'. */
    readonly em: ContextEntityManager
  }

  interface FastifyInstance {
    /** The MikroORM that `fastify-context-orm` was registered with, of several the first. */
    readonly orm: RegisteredOrm
  }

  interface FastifyContextConfig {
    /** How this route's requests use the database; `false` if they must not. */
    orm?: (RouteOrmOptions & object) | false
  }
}

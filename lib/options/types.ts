import type { EntityManager, MikroORM } from '@mikro-orm/core'
import type { RouteOrmOptions } from './options.ts'
import type { SwitchableOrm } from '../databases/switchable.ts'

/**
 * Augment this once with the type of your MikroORM, and `request.em`, `em()` and `fastify.orm` have its driver's. With
 * several databases, `orms` says which name has which:
 *
 * ```ts
 * declare module 'fastify-context-orm' {
 *   interface Register { orm: typeof orm, orms: { default: typeof orm, reporting: typeof reporting } }
 * }
 * ```
 */
export interface Register {}

/** The registered MikroORM, of several the first; of a function, a promise or `switchable()`, what it gives. */
export type RegisteredOrm = Register extends { orm: infer Orm } ? First<Opened<Orm>> : MikroORM

/** The registered MikroORMs by their names. */
export type RegisteredOrms = Register extends { orms: infer Orms }
  ? { readonly [Name in keyof Orms]: Switched<Orms[Name]> }
  : { readonly [name: string]: MikroORM }

/** The name of a database: the `contextName` of its MikroORM. */
export type DatabaseName = keyof RegisteredOrms & string

/** The EntityManager of the registered MikroORM's driver, or MikroORM's own. */
export type ContextEntityManager = Register extends { orm: unknown } ? EntityManagerOf<RegisteredOrm> : EntityManager

/** The EntityManager of the database of that name. */
export type NamedEntityManager<Name extends DatabaseName> = Register extends { orms: unknown }
  ? EntityManagerOf<RegisteredOrms[Name]>
  : ContextEntityManager

/** That of a MikroORM, or of the first of several. */
export type EntityManagerOfFirst<Orms> = EntityManagerOf<First<Orms>>

type EntityManagerOf<Orm> = Orm extends { em: infer Em extends EntityManager } ? Em : never
type Opened<Orm> = Awaited<Orm extends (...args: never) => infer Made ? Made : Orm>
type First<Orms> = Switched<Orms extends readonly unknown[] ? Orms[0] : Orms>
type Switched<Orm> = Orm extends SwitchableOrm<any, infer Made> ? Made : Orm

declare module 'fastify' {
  interface FastifyRequest {
    /** The EntityManager of this request, of the first database; `em(name)` has the others'. */
    readonly em: ContextEntityManager
  }

  interface FastifyInstance {
    /** The MikroORM that `fastify-context-orm` was registered with, of several the first. */
    readonly orm: RegisteredOrm
    /** All MikroORMs that it was registered with, by their `contextName`. */
    readonly orms: RegisteredOrms
  }

  interface FastifyContextConfig {
    /** How this route's requests use the database; `false` if they must not. */
    orm?: (RouteOrmOptions & object) | false
  }
}

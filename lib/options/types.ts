import type { EntityManager, MikroORM } from '@mikro-orm/core'

/** A database that can move to another host. Pass it as `orm` wherever you would pass a MikroORM. */
export interface SwitchableOrm<Host = string, Orm extends MikroORM<any> = MikroORM> {
  /** The present MikroORM. */
  readonly orm: Orm
  /** The present host. */
  readonly host: Host
  /**
   * Connects to `host`. Contexts that use the database for the first time after that are on the new host. The old pool is
   * closed when the last context that uses it has ended. Resolves when it is connected. If `host` is the present one, nothing
   * happens. If it cannot connect, it stays where it is and throws `FST_ORM_SWITCH_FAILED`.
   */
  switchTo (host: Host): Promise<void>
  /** Closes all connections. If the function that is the plugin's option `orm` has made it, the app closes it. */
  close (): Promise<void>
}

/**
 * Augment this once with the type of your MikroORM. Then `request.em`, `em()` and `fastify.orm` have the types of its driver. With
 * several databases, `orms` gives each name its type:
 *
 * ```ts
 * declare module 'fastify-context-orm' {
 *   interface Register { orm: typeof orm, orms: { default: typeof orm, reporting: typeof reporting } }
 * }
 * ```
 */
export interface Register {}

/** The registered MikroORM, or the first of several. If a function, a promise or `switchable()` is registered: what it gives. */
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

import type { EntityManager, MikroORM } from '@mikro-orm/core'

/** A database that can move to another host. Passed as `orm` wherever a MikroORM is. */
export interface SwitchableOrm<Host = string, Orm extends MikroORM<any> = MikroORM> {
  /** The present MikroORM. */
  readonly orm: Orm
  /** The present host. */
  readonly host: Host
  /**
   * Connects to `host`, gives it to every context that uses the database for the first time from then on, and closes
   * what was before when the last context that uses it has ended. Resolves when it is connected. Nothing happens if it
   * is the present one. Throws `FST_ORM_SWITCH_FAILED` if it cannot connect, and stays where it is then.
   */
  switchTo (host: Host): Promise<void>
  /** Closes all connections. What was made by the function that is the plugin's option `orm`, the app closes. */
  close (): Promise<void>
}

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

import type { AbstractSqlConnection, Kysely } from '@mikro-orm/sql'
import { Utils } from '@mikro-orm/core'
import { FST_ORM_UNSUPPORTED } from '../errors.ts'

/**
 * The app's own copy of `@mikro-orm/sql`, and of the Kysely that it brings. Both are found through the app's objects: an
 * import of ours could reach another copy, of another version, or none, since it is a dependency of the app's driver only.
 */

type KyselyClass = typeof Kysely

/** What every connection of that copy inherits from `AbstractSqlConnection`. */
export function connectionPrototypeOf (connection: AbstractSqlConnection): AbstractSqlConnection {
  return firstWith('getClient', connection)
}

/** Makes a class that extends the Kysely of a client, once for each such Kysely. */
export function subclassOfKysely<Class> (make: (Base: KyselyClass) => Class): (client: Kysely<any>) => Class {
  const classes = new WeakMap<object, Class>() // by prototype, which is there to be asked for at no cost
  return client => {
    const prototype = Object.getPrototypeOf(client)
    const known = classes.get(prototype)
    if (known !== undefined) return known
    checkKysely(client)
    const made = make(firstWith('startTransaction', client).constructor as KyselyClass)
    classes.set(prototype, made)
    return made
  }
}

/** The prototype at the root of its line that has the method: those of subclasses, also of the app's own, come before. */
function firstWith<T extends object> (method: keyof T, object: T): T {
  let first = object
  for (let prototype = object; prototype !== null; prototype = Object.getPrototypeOf(prototype)) {
    if (Object.hasOwn(prototype, method)) first = prototype
  }
  return first
}

export const USED_OF_KYSELY = ['startTransaction', 'connection', 'getExecutor', 'executeQuery'] as const
export const USED_OF_EXECUTOR = ['withConnectionProvider', 'provideConnection', 'stream'] as const

/** Throws `FST_ORM_UNSUPPORTED` if the Kysely of the app lacks what is used of it. Some drivers make theirs only when they connect. */
export function checkKysely (client: { getExecutor (): object }): void {
  requireMethods('Kysely', client, USED_OF_KYSELY)
  requireMethods("Kysely's QueryExecutor", client.getExecutor(), USED_OF_EXECUTOR)
}

export function requireMethods (owner: string, object: object, methods: readonly string[]): void {
  for (const method of methods) {
    if (typeof Reflect.get(object, method) === 'function') continue
    throw new FST_ORM_UNSUPPORTED(`${owner}.${method}()`, `MikroORM ${Utils.getORMVersion()}`)
  }
}

import type { AbstractSqlConnection, Kysely } from '@mikro-orm/sql'
import { checkKysely } from '../mikro-orm/requirements.ts'
import { dialectOf } from '../sql/dialect.ts'

/**
 * The app's own copy of `@mikro-orm/sql`, and of the Kysely that it brings. Both are found through the app's objects: an
 * import of ours could reach another copy, of another version, or none, since it is a dependency of the app's driver only.
 */

type KyselyClass = typeof Kysely

export function isPostgres (connection: AbstractSqlConnection): boolean {
  return dialectOf(connection.getPlatform()) === 'postgresql'
}

/** libSQL is one, too. */
export function isSqlite (connection: AbstractSqlConnection): boolean {
  return dialectOf(connection.getPlatform()) === 'sqlite'
}

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

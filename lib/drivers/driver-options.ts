import type { EntityManager } from '@mikro-orm/core'
import type { AbstractSqlConnection } from '@mikro-orm/sql'
import { SANDBOXED } from '../context/sandboxes.ts'

/** Of the drivers that MikroORM itself makes. */
interface DriverOptions {
  max?: number
  connectionLimit?: number
}

/** `undefined` if the driver is a Kysely or a dialect of the user's own, of which nothing is known. */
export function driverOptionsOf (em: EntityManager): DriverOptions | undefined {
  const options: unknown = em.config.get('driverOptions')
  const isOwn = typeof options !== 'object' || options === null || 'getExecutor' in options || 'createDriver' in options
  return isOwn ? undefined : options
}

/** The driver of the connection is known: MikroORM has made it, and no sandbox stands for it. */
export function isDriverOfMikroOrm (em: EntityManager, connection: AbstractSqlConnection): boolean {
  return !(SANDBOXED in connection) && driverOptionsOf(em) !== undefined
}

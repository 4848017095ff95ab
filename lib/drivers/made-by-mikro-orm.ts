import type { EntityManager } from '@mikro-orm/core'

/** About the drivers that MikroORM itself makes. */
interface DriverOptions {
  max?: number
  connectionLimit?: number
}

/** What drivers do without a size (pg 8.23, mysql2 3). */
const DEFAULT_SIZE = 10

/** `undefined` if the driver is a Kysely or a dialect of the user's own, of which nothing is known. */
function driverOptionsOf (config: EntityManager['config']): DriverOptions | undefined {
  const options: unknown = config.get('driverOptions')
  const isOwn = typeof options !== 'object' || options === null || 'getExecutor' in options || 'createDriver' in options
  return isOwn ? undefined : options
}

/** The driver is known: MikroORM has made it. */
export function isMadeByMikroOrm (config: EntityManager['config']): boolean {
  return driverOptionsOf(config) !== undefined
}

/** How many connections there are; `Infinity` if that cannot be seen. */
export function poolSizeOf (config: EntityManager['config']): number {
  const options = driverOptionsOf(config)
  if (options === undefined) return Infinity
  return options.max ?? options.connectionLimit ?? config.get('pool').max ?? DEFAULT_SIZE
}

import { MikroORM, type Options } from '@mikro-orm/core'
import type { SqlEntityManager } from '@mikro-orm/sql'
import type { EventEmitter } from 'node:events'
import type { EngineName } from './database.ts'

/** Only one of them is loaded, as in a user's process. */
const DRIVERS: Record<EngineName, () => Promise<Options['driver']>> = {
  postgresql: async () => (await import('@mikro-orm/postgresql')).PostgreSqlDriver,
  mariadb: async () => (await import('@mikro-orm/mariadb')).MariaDbDriver
}

export async function openOrm (engine: EngineName, options: Partial<Options>): Promise<MikroORM> {
  return await MikroORM.init({ ...options, driver: await DRIVERS[engine]() } as Options)
}

/** The pool of its driver. */
export async function poolOf (orm: MikroORM): Promise<EventEmitter> {
  return await (orm.em as SqlEntityManager).getConnection().getNativeClient() as EventEmitter
}

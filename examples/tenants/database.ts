import { MikroORM, type Options } from '@mikro-orm/core'
import { Note } from './entities.ts'
import { createTenantRole } from './tenant-role.ts'

export interface DatabaseOptions {
  /** The URL of a PostgreSQL. Without one, the notes are in PGlite, a PostgreSQL in the process, and end with that. */
  url?: string | undefined
  connections?: number
}

/** Opens the database, and makes whatever is missing: the table, its policy, and the role to which that applies. */
export async function openDatabase (options: DatabaseOptions): Promise<MikroORM> {
  const orm = await MikroORM.init({ entities: [Note], ...await engineOf(options) } as Options)
  try {
    // safe: nothing is dropped, not even what the database has besides
    await orm.schema.update({ safe: true })
    await createTenantRole(orm)
    return orm
  } catch (error) {
    await orm.close()
    throw error
  }
}

async function engineOf ({ url, connections = 10 }: DatabaseOptions): Promise<Partial<Options>> {
  if (url === undefined) return { driver: (await import('@mikro-orm/pglite')).PgliteDriver, dbName: 'memory://' }
  return { driver: (await import('@mikro-orm/postgresql')).PostgreSqlDriver, clientUrl: url, pool: { min: 0, max: connections } }
}

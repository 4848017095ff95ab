import { MikroORM } from '@mikro-orm/postgresql'
import { Note } from './entities.ts'
import { createTenantRole } from './tenant-role.ts'

export interface DatabaseOptions {
  url: string
  connections?: number
}

/** Opens the database, and makes whatever is missing: the table, its policy, and the role to which that applies. */
export async function openDatabase ({ url, connections = 10 }: DatabaseOptions): Promise<MikroORM> {
  const orm = await MikroORM.init({ entities: [Note], clientUrl: url, pool: { min: 0, max: connections } })
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

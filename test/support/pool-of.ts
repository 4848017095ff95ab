import type { PostgreSqlConnection } from '@mikro-orm/postgresql'
import type { Pool } from 'pg'
import type { Orm } from './databases.ts'

/** Of a PostgreSQL. */
export async function poolOf (orm: Orm): Promise<Pool> {
  return await (orm.em.getConnection() as unknown as PostgreSqlConnection).getNativeClient()
}

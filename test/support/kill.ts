import { until } from './until.ts'

const DEADLINE_MS = 5000

type Query = (sql: string) => Promise<any[]>

/** Ends a connection to PostgreSQL. Resolves when it is gone. */
export async function killOnPostgres (query: Query, id: number): Promise<void> {
  const [{ gone }] = await query(`select pg_terminate_backend(${id}, ${DEADLINE_MS}) as gone`)
  if (gone !== true) throw new Error(`Backend ${id} has outlived its end, or there was none`)
}

/** The same of MariaDB. */
export async function killOnMariadb (query: Query, id: number): Promise<void> {
  await query(`kill ${id}`)
  await until(async () => (await query(`select 1 from information_schema.processlist where id = ${id}`)).length === 0)
}

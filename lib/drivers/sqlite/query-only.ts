import type { AbstractSqlConnection, Kysely } from '@mikro-orm/sql'

/** SQLite has no read-only transactions, but connections that refuse to write. */
export async function runQueryOnly (ormConnection: AbstractSqlConnection, client: Kysely<any>, use: (client: Kysely<any>) => Promise<void>): Promise<void> {
  await ormConnection.execute('pragma query_only = on', [], 'run', client)
  try {
    await use(client)
  } finally {
    await ormConnection.execute('pragma query_only = off', [], 'run', client)
  }
}

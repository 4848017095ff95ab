import { randomUUID } from 'node:crypto'
import pg from 'pg'
import t from 'tap'

export interface FreshDatabase {
  url: string
  /** On a connection of nobody's but the test's. */
  query (sql: string): Promise<any[]>
}

let ofThisFile: Promise<pg.Pool> | undefined

/**
 * An empty PostgreSQL database. The tests of a file have the same one after each other, with a new schema each: to make
 * a database takes far longer, and so does each first connection to it.
 */
export async function freshDatabase (): Promise<FreshDatabase> {
  ofThisFile ??= createDatabase()
  const pool = await ofThisFile
  // whoever is still leaving would hold locks, or be seen by the next test: of those that cancel queries, or are about to,
  // Kysely 0.29.6 awaits no end
  await pool.query(`
    select pg_terminate_backend(pid, 5000) from pg_stat_activity
    where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()
  `)
  await pool.query('drop schema public cascade; create schema public; grant usage on schema public to public') // as PostgreSQL makes it
  return { url: pool.options.connectionString!, query: async sql => (await pool.query(sql)).rows }
}

async function createDatabase (): Promise<pg.Pool> {
  const name = `test_${randomUUID().slice(0, 8)}`
  const url = new URL(process.env.TEST_DATABASE_URL!)
  const admin = new pg.Client({ connectionString: url.href })
  await admin.connect()
  await admin.query(`create database ${name}`)
  url.pathname = `/${name}`
  // more than one connection only if the test asks while it waits for an answer
  const pool = new pg.Pool({ connectionString: url.href, idleTimeoutMillis: 0 })
  pool.on('error', () => {}) // of a test that ends all connections
  t.teardown(async () => {
    await pool.end()
    await admin.query(`drop database ${name} with (force)`)
    await admin.end()
  })
  return pool
}

import { randomUUID } from 'node:crypto'
import { createPool, type Pool, type RowDataPacket } from 'mysql2/promise'
import t from 'tap'
import type { FreshDatabase } from './fresh-database.ts'

let ofThisFile: Promise<{ pool: Pool, url: string, name: string }> | undefined

/** An empty database of MariaDB's. The tests of a file have the same one after each other, made anew each time. */
export async function freshMariadb (): Promise<FreshDatabase> {
  ofThisFile ??= openPool()
  const { pool, url, name } = await ofThisFile
  await killOthers(pool, name) // whoever is still leaving would hold locks, or be seen by the next test
  await pool.query(`drop database if exists ${name}`)
  await pool.query(`create database ${name}`)
  await pool.query(`use ${name}`)
  return { url, query: async sql => (await pool.query<RowDataPacket[]>(sql))[0] }
}

async function openPool (): Promise<{ pool: Pool, url: string, name: string }> {
  const name = `test_${randomUUID().slice(0, 8)}`
  const url = new URL(process.env.TEST_MARIADB_URL!)
  const pool = createPool({ uri: url.href, connectionLimit: 1, dateStrings: true })
  url.pathname = `/${name}`
  t.teardown(async () => {
    await killOthers(pool, name)
    await pool.query(`drop database if exists ${name}`)
    await pool.end()
  })
  return { pool, url: url.href, name }
}

/** Resolves when they are gone. */
async function killOthers (pool: Pool, name: string): Promise<void> {
  for (;;) {
    const [others] = await pool.query<RowDataPacket[]>('select id from information_schema.processlist where db = ? and id <> connection_id()', [name])
    if (others.length === 0) return
    for (const { id } of others) await pool.query(`kill ${id}`).catch(() => {}) // which has left by itself
  }
}

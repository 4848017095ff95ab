import { randomUUID } from 'node:crypto'
import pg from 'pg'
import type { Test } from 'tap'

export interface PostgresDatabase {
  name: string
  url: string
  /** On a connection of the test's own. */
  query (sql: string): Promise<any[]>
}

/** A database of the test's own, on the server of TEST_DATABASE_URL. It is dropped when the test has ended. */
export async function createDatabase (t: Test): Promise<PostgresDatabase> {
  const name = `example_${randomUUID().slice(0, 8)}`
  const url = new URL(process.env.TEST_DATABASE_URL!)
  const admin = new pg.Client({ connectionString: url.href })
  await admin.connect()
  await admin.query(`create database ${name}`)
  url.pathname = `/${name}`
  const connection = new pg.Client({ connectionString: url.href })
  connection.on('error', () => {}) // of a test that drops the database itself
  await connection.connect()
  t.teardown(async () => {
    await connection.end()
    await admin.query(`drop database if exists ${name} with (force)`)
    await admin.end()
  })
  return { name, url: url.href, query: async sql => (await connection.query(sql)).rows }
}

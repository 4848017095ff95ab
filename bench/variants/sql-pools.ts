import type { Pool as MysqlPool } from 'mysql2'
import type { PoolConnection } from 'mysql2/promise'
import type pg from 'pg'
import type { EngineName } from '../database.ts'

/** Sends a statement with `$1`, `$2` in the order of its values, and gives the rows. */
interface Sender {
  send (sql: string, values?: unknown[]): Promise<object[]>
}

export interface SqlPool extends Sender {
  connect (): Promise<Sender & { release (): void }>
}

/** The pools of both drivers in one look. */
export const sqlPools: Record<EngineName, (pool: unknown) => SqlPool> = { postgresql: pool => ofPg(pool as pg.Pool), mariadb: pool => ofMysql(pool as MysqlPool) }

function ofPg (pool: pg.Pool): SqlPool {
  const sender = (client: pg.Pool | pg.PoolClient): Sender => ({
    async send (sql, values) {
      return (await client.query(sql, values)).rows
    }
  })
  return {
    ...sender(pool),
    async connect () {
      const client = await pool.connect()
      return { ...sender(client), release: () => client.release() }
    }
  }
}

function ofMysql (callbackPool: MysqlPool): SqlPool {
  const pool = callbackPool.promise()
  const sender = (client: Pick<PoolConnection, 'query'>): Sender => ({
    async send (sql, values) {
      const [rows] = await client.query(sql.replaceAll(/\$\d/g, '?'), values)
      return rows as object[]
    }
  })
  return {
    ...sender(pool),
    async connect () {
      const connection = await pool.getConnection()
      return { ...sender(connection), release: () => connection.release() }
    }
  }
}

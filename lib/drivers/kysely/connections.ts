import type { Kysely } from '@mikro-orm/sql'
import type { DatabaseConnection, Query, Use } from '../pinned-transaction.ts'
import { keepUntilLost } from './probe.ts'

/** What Kysely does alike for every engine. */

type Client = Kysely<any>

/** Several connections, and not one that everybody has to wait for. */
export function isPool (client: Client): boolean {
  return client.getExecutor().adapter.supportsMultipleConnections === true
}

/** Lends a connection, and calls `arrived` before. */
export async function lendConnection<T> (client: Client, use: Use<T>, arrived: () => void): Promise<T> {
  return await client.getExecutor().provideConnection(async lent => {
    arrived()
    try {
      return await use(lent)
    } catch (error) {
      await keepUntilLost(error, client, lent)
      throw error
    }
  })
}

/** Cancels on another connection of the same pool. Kysely 0.29.6 has a `TypeError` for what runs no more. */
export async function cancelStatement (client: Client, lent: DatabaseConnection): Promise<void> {
  await lent.collectSessionInfo?.()
  await lent.cancelQuery?.(use => client.getExecutor().provideConnection(use))
}

/** As Kysely's `CompiledQuery.raw()` makes it, which MikroORM does not export. */
export function rawStatement (sql: string): Query {
  return { sql, parameters: [], query: { kind: 'RawNode', sqlFragments: [sql], parameters: [] }, queryId: { queryId: sql } } as Query
}

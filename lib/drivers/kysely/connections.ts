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

/**
 * Cancels on another connection, of the same pool if Kysely has no other. The pool may have none left but that of the statement itself. So it
 * is not waited for any longer when the statement has `ended`. Kysely 0.29.6 throws a `TypeError` if nothing is running any more.
 */
export async function cancelStatement (client: Client, lent: DatabaseConnection, ended: Promise<unknown>): Promise<void> {
  await lent.collectSessionInfo?.()
  let isWaiting = false
  const cancelled = lent.cancelQuery?.(use => {
    isWaiting = true
    return client.getExecutor().provideConnection(connection => {
      isWaiting = false
      return use(connection) // looks whether the statement is still running
    })
  })
  const waited = ended.catch(() => {}).then(() => isWaiting ? undefined : cancelled)
  await Promise.race([cancelled, waited])
}

/** As Kysely's `CompiledQuery.raw()` makes it, which MikroORM does not export. */
export function rawStatement (sql: string): Query {
  return { sql, parameters: [], query: { kind: 'RawNode', sqlFragments: [sql], parameters: [] }, queryId: { queryId: sql } } as Query
}

export const ROLLBACK: Query = rawStatement('rollback')

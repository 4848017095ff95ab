import type { Kysely } from '@mikro-orm/sql'
import type { DatabaseConnection, Query } from './pinned-transaction.ts'

/** PostgreSQL's, on a connection that it closes: an administrator ends it, the server stops, or has crashed, or starts. */
const CLOSING = /^57P0[1-4]$/

/**
 * Keeps a connection back on which the server has said goodbye, until its driver knows that as well: pg-pool 3.14
 * hands out a connection as long as it is not closed, and so everybody who waits for one would get the dying one, and
 * fail in turn.
 */
export async function keepUntilLost (error: unknown, client: Kysely<any>, connection: DatabaseConnection): Promise<void> {
  if (!isClosing(error)) return
  await connection.executeQuery(probeFor(client)).catch(() => {})
}

/** The server has said with it that it closes the connection. */
export function isClosing (error: unknown): boolean {
  return CLOSING.test(String((error as { code?: unknown } | null)?.code))
}

/** The same, or there is no server any more at its other end, as Node and pg 8.23 say it. */
export function isLost (error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return isClosing(error) || LOST_CODE.test(String((error as { code?: unknown }).code)) || LOST_MESSAGE.test(error.message)
}

const LOST_CODE = /^(?:ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|08...)$/
const LOST_MESSAGE = /^Connection terminated|connection error and is not queryable|was closed and is not queryable/

/** A statement that every connection answers as long as it is alive. */
export function probeFor (client: Kysely<any>): Query {
  return client.selectNoFrom(({ lit }) => lit(1).as('alive')).compile()
}

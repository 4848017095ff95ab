import type { Kysely } from '@mikro-orm/sql'
import type { DatabaseConnection, Query } from '../pinned-transaction.ts'
import { isClosing } from '../errors.ts'

/**
 * Keeps a connection back on which the server has said goodbye, until its driver knows that as well: pg-pool 3.14
 * hands out a connection as long as it is not closed. Everybody who waits for one would get the dying one, and fail in turn.
 */
export async function keepUntilLost (error: unknown, client: Kysely<any>, connection: DatabaseConnection): Promise<void> {
  if (!isClosing(error)) return
  await connection.executeQuery(probeFor(client)).catch(() => {})
}

/** A statement that every connection answers as long as it is alive. */
export function probeFor (client: Kysely<any>): Query {
  return client.selectNoFrom(({ lit }) => lit(1).as('alive')).compile()
}

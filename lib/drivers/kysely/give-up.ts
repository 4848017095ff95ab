import type { Kysely } from '@mikro-orm/sql'
import { setImmediate } from 'node:timers/promises'
import { isAway } from '../errors.ts'
import type { DatabaseConnection } from '../pinned-transaction.ts'
import { cancelStatement, ROLLBACK } from './connections.ts'
import { keepUntilLost } from './probe.ts'

/**
 * For a connection on which a transaction has not begun or ended as it should, because of `error`. That transaction may still be open: what
 * runs there next would be part of it, and the next `BEGIN` would commit it on MySQL. So the connection is closed, unless it is the only one.
 */
export async function giveUp (error: unknown, client: Kysely<any>, connection: DatabaseConnection): Promise<void> {
  await keepUntilLost(error, client, connection)
  if (connection.killSession === undefined || isAway(error)) return
  await close(client, connection)
}

/**
 * Kysely 0.29.6 closes a connection of MySQL's at once. It has PostgreSQL end a session only while that runs something, and that error may be
 * thrown at the process. There, it is rolled back once more: pg 8.23 drops what has waited for longer than its `query_timeout`, unsent.
 */
async function close (client: Kysely<any>, connection: DatabaseConnection): Promise<void> {
  await Promise.allSettled([connection.killSession!(NO_CONTROL)])
  for (let attempts = 10; attempts > 0; attempts--) {
    let isWaiting = true
    const isOver = connection.executeQuery(ROLLBACK).then(() => true, isAway).finally(() => { isWaiting = false })
    await setImmediate()
    if (isWaiting) await cancelStatement(client, connection, isOver).catch(() => {}) // which it waits for
    if (await isOver) return
  }
}

/** Kysely 0.29.6 would take another connection of the pool, which may have none left. */
export const NO_CONTROL = async (): Promise<never> => { throw new Error('No other connection is to be taken') }

import type { MikroORM } from '@mikro-orm/core'
import type { AbstractSqlConnection } from '@mikro-orm/sql'
import { dialectOf } from './dialect.ts'

const beingMade = new WeakMap<AbstractSqlConnection, Promise<void>>()

/**
 * MySQL's Kysely is made asynchronously, and a connection that nothing has used has none (MikroORM 7.2.1). Resolves when it is
 * there, which takes no connection to the server; `undefined` if there is nothing to wait for.
 */
export function untilClientIsMade (orm: MikroORM): Promise<void> | undefined {
  const connection = orm.driver.getConnection('write') as AbstractSqlConnection & { connected: boolean }
  if (connection.connected || dialectOf(connection.getPlatform()) !== 'mysql') return undefined
  const known = beingMade.get(connection)
  if (known !== undefined) return known
  const made = connection.initClient().finally(() => beingMade.delete(connection))
  made.catch(() => {}) // if nobody waits for it
  beingMade.set(connection, made)
  return made
}

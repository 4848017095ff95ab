import type { AbstractSqlConnection } from '@mikro-orm/sql'
import { sql } from 'kysely'
import type { Orm } from './databases.ts'

const DEADLINE_MS = 20_000

/** Rejects unless the pool gives out so many connections at the same time, all of which work. */
export async function assertPoolIsWhole (orm: Orm, size: number): Promise<void> {
  const connection = orm.em.getConnection() as unknown as AbstractSqlConnection
  await connection.ensureConnection()
  const client = connection.getClient()
  const enough = Promise.withResolvers<void>()
  let given = 0
  const all = Promise.all(Array.from({ length: size }, () => client.connection().execute(async lent => {
    await sql`select 1`.execute(lent)
    if (++given === size) enough.resolve()
    await enough.promise
  })))
  const deadline = AbortSignal.timeout(DEADLINE_MS)
  deadline.onabort = () => enough.reject(new Error(`The pool has given out ${given} connections instead of ${size}`))
  try {
    await Promise.race([all, enough.promise.then(() => all)])
  } finally {
    deadline.onabort = null
    enough.resolve()
  }
}

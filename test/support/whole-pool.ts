import type { PoolClient } from 'pg'
import type { Orm } from './databases.ts'
import { poolOf } from './pool-of.ts'

const DEADLINE_MS = 20_000

/** Rejects unless the pool gives out so many connections at the same time, all of which work. */
export async function assertPoolIsWhole (orm: Orm, size: number): Promise<void> {
  const pool = await poolOf(orm)
  const taken: PoolClient[] = []
  const all = Promise.all(Array.from({ length: size }, async () => {
    const client = await pool.connect()
    taken.push(client)
    await client.query('select 1')
  }))
  const deadline = AbortSignal.timeout(DEADLINE_MS)
  const missing = new Promise<never>((_resolve, reject) => {
    deadline.onabort = () => reject(new Error(`The pool has given out ${taken.length} connections instead of ${size}`))
  })
  try {
    await Promise.race([all, missing])
  } finally {
    deadline.onabort = null
    for (const client of taken) client.release()
  }
}

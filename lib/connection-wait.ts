import type { AbstractSqlConnection, SqlEntityManager } from '@mikro-orm/sql'
import { FST_ORM_POOL_STARVED, FST_ORM_SINGLE_CONNECTION } from './errors.ts'

/**
 * A context that waits for a connection while one around it holds another can wait for ever: on SQLite, which has one,
 * always; on a pool, as soon as all its connections are held by contexts around such waits. The first is an error at
 * once. Of the second, the wait that came last fails, so that the others can go on: not at once, since a context around
 * may end by itself, without waiting for the inner one.
 */

/** A context, as far as it takes connections. */
export interface ConnectionUser {
  /** Such as `POST /books`. */
  readonly name: string
  /** The context that it was opened in, as long as neither has ended. */
  readonly outer?: ConnectionUser | undefined
  /** Holds a connection of that pool. */
  holdsConnectionOf (pool: AbstractSqlConnection): boolean
}

interface Wait {
  user: ConnectionUser
}

/** What drivers do without MikroORM's `pool.max` (seen in pg 8.23). */
const DEFAULT_POOL_SIZE = 10
const CHECK_EVERY_MS = 1000
/** However the connections are held: by whom we cannot see, such as an EntityManager of the user's own. */
const MAX_CHECKS = 30

const waits = new WeakMap<AbstractSqlConnection, Set<Wait>>()

/**
 * Takes a connection: `acquire` calls `arrived` when it has one, which throws if that is too late. Rejects with
 * `FST_ORM_SINGLE_CONNECTION` or `FST_ORM_POOL_STARVED`.
 */
export function acquireConnection<T> (
  user: ConnectionUser, holder: ConnectionUser | undefined, em: SqlEntityManager, acquire: (arrived: () => void) => Promise<T>
): Promise<T> {
  if (holder === undefined) return acquire(() => {})
  const pool: AbstractSqlConnection = em.getConnection('write')
  if (!pool.getClient().getExecutor().adapter.supportsMultipleConnections) {
    return Promise.reject(new FST_ORM_SINGLE_CONNECTION(user.name, holder.name))
  }
  return acquireWithin(user, holder, pool, em.config.get('pool').max ?? DEFAULT_POOL_SIZE, acquire)
}

/** The innermost of the contexts around `user` that hold a connection of the pool. */
export function holderAround (user: ConnectionUser, pool: AbstractSqlConnection): ConnectionUser | undefined {
  let holder = user.outer
  while (holder !== undefined && !holder.holdsConnectionOf(pool)) holder = holder.outer
  return holder
}

async function acquireWithin<T> (
  user: ConnectionUser, holder: ConnectionUser, pool: AbstractSqlConnection, size: number, acquire: (arrived: () => void) => Promise<T>
): Promise<T> {
  const wait: Wait = { user }
  const all = waits.get(pool) ?? new Set()
  waits.set(pool, all)
  all.add(wait)

  const starved = Promise.withResolvers<never>()
  let error: Error | undefined
  let checks = 0
  const timer = setInterval(() => {
    checks++
    if (checks < MAX_CHECKS && !(countHolders(pool, all) >= size && wait === [...all].at(-1))) return
    error = new FST_ORM_POOL_STARVED(user.name, holder.name, String(size), String(checks * CHECK_EVERY_MS / 1000))
    stop()
    starved.reject(error)
  }, CHECK_EVERY_MS)
  const stop = (): void => {
    clearInterval(timer)
    all.delete(wait)
  }
  const arrived = (): void => {
    if (error !== undefined) throw error
    stop()
  }
  try {
    return await Promise.race([acquire(arrived), starved.promise])
  } finally {
    stop()
  }
}

/** How many contexts hold a connection while something inside them waits for another. */
function countHolders (pool: AbstractSqlConnection, all: Set<Wait>): number {
  const holders = new Set<ConnectionUser>()
  for (const { user } of all) {
    for (let around: ConnectionUser | undefined = user; around !== undefined; around = around.outer) {
      if (around.holdsConnectionOf(pool)) holders.add(around)
    }
  }
  return holders.size
}

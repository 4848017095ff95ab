import type { AbstractSqlConnection, SqlEntityManager } from '@mikro-orm/sql'
import { FST_ORM_POOL_STARVED, FST_ORM_SINGLE_CONNECTION, withCallersLine } from './errors.ts'
import { PoolGate } from './pool-gate.ts'

/**
 * A context that waits for a connection while one around it holds another can wait for ever: on SQLite, which has one,
 * always; on a pool, as soon as all its connections are held by contexts around such waits. The first is an error at
 * once. Of the second, the wait that came last fails, so that the others can go on: not at once, since a context around
 * may end by itself, without waiting for the inner one. From then on, `PoolGate` keeps it from happening again.
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

const CHECK_EVERY_MS = 1000
/** However the connections are held: by whom we cannot see, such as an EntityManager of the user's own. */
const MAX_CHECKS = 30

const waits = new WeakMap<AbstractSqlConnection, Set<Wait>>()

/**
 * Takes a connection: `acquire` calls `arrived` when it has one, which throws if that is too late. `holders` are the
 * contexts that hold one while they wait for this. Rejects with `FST_ORM_SINGLE_CONNECTION` or `FST_ORM_POOL_STARVED`.
 */
export function acquireConnection<T> (
  user: ConnectionUser, holders: ConnectionUser[], em: SqlEntityManager, acquire: (arrived: () => void) => Promise<T>
): Promise<T> {
  const [holder] = holders
  if (holder === undefined) return acquire(() => {})
  const pool: AbstractSqlConnection = em.getConnection('write')
  if (!pool.getClient().getExecutor().adapter.supportsMultipleConnections) {
    return Promise.reject(withCallersLine(() => new FST_ORM_SINGLE_CONNECTION(user.name, holder.name)))
  }
  const gate = PoolGate.of(em)
  gate.note(holders.length)
  return acquireWithin(user, holder, pool, gate.size, acquire)
}

/** The same for the connection of a transaction, after whose end the gate has to be left. */
export function acquireForTransaction<T> (
  user: ConnectionUser, holders: ConnectionUser[], em: SqlEntityManager, begin: (arrived: () => void) => Promise<T>
): Promise<T> {
  return acquireConnection(user, holders, em, async arrived => {
    const gate = PoolGate.of(em)
    await gate.enter(holders.length)
    try {
      return await begin(arrived)
    } catch (error) {
      gate.leave()
      throw error
    }
  })
}

/** The contexts around `user` that hold a connection of the pool, the innermost first. */
export function holdersAround (user: ConnectionUser, pool: AbstractSqlConnection): ConnectionUser[] {
  if (user.outer === undefined) return NONE
  const holders = holdersAround(user.outer, pool)
  return user.outer.holdsConnectionOf(pool) ? [user.outer, ...holders] : holders
}

const NONE: ConnectionUser[] = []

async function acquireWithin<T> (
  user: ConnectionUser, holder: ConnectionUser, pool: AbstractSqlConnection, size: number, acquire: (arrived: () => void) => Promise<T>
): Promise<T> {
  const wait: Wait = { user }
  const all = waits.get(pool) ?? new Set()
  waits.set(pool, all)
  all.add(wait)

  const starved = Promise.withResolvers<typeof STARVED>()
  let checks = 0
  const timer = setInterval(() => {
    checks++
    if (checks < MAX_CHECKS && !(countHolders(pool, all) >= size && wait === [...all].at(-1))) return
    stop()
    starved.resolve(STARVED)
  }, CHECK_EVERY_MS)
  const stop = (): void => {
    clearInterval(timer)
    all.delete(wait)
  }
  let isTooLate = false
  const arrived = (): void => {
    if (isTooLate) throw new Error('too late') // whoever waited for it has been told
    stop()
  }
  try {
    const acquired = await Promise.race([acquire(arrived), starved.promise])
    if (acquired !== STARVED) return acquired
  } finally {
    stop()
  }
  isTooLate = true
  throw withCallersLine(() => new FST_ORM_POOL_STARVED(user.name, holder.name, String(size), String(checks * CHECK_EVERY_MS / 1000)))
}

const STARVED = Symbol('starved')

/** How many contexts hold a connection while something inside them waits for another. */
function countHolders (pool: AbstractSqlConnection, all: Set<Wait>): number {
  const holders = new Set<ConnectionUser>()
  for (const { user } of all) {
    for (const holder of holdersAround(user, pool)) holders.add(holder)
    if (user.holdsConnectionOf(pool)) holders.add(user)
  }
  return holders.size
}

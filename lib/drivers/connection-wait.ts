import { FST_ORM_POOL_STARVED, FST_ORM_SINGLE_CONNECTION, withCallersLine } from '../errors.ts'
import type { Driver } from './driver.ts'
import { patience } from '../util/patience.ts'
import { untilPromisesHaveRun } from '../util/ticks.ts'

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
  readonly parent?: ConnectionUser | undefined
  /** The context that calls at the moment, which may use the EntityManager of one around it. */
  readonly caller?: ConnectionUser | undefined
  /** How many connections of that database it holds; on SQLite, which has one, also if it waits for that itself. */
  connectionsOf (driver: Driver): number
  /**
   * If its commit only waits for the first chunk of its reply, it waits no longer. Resolves when it has given back its
   * connections; `undefined` if there is nothing to hasten.
   */
  hastenCommit (): Promise<void> | undefined
}

interface Wait {
  holders: ConnectionUser[]
}

const waits = new WeakMap<Driver, Set<Wait>>()

/**
 * Takes a connection: `acquire` calls `arrived` when it has one, which throws if that is too late. `holders` are the
 * contexts that hold one while they wait for this. Rejects with `FST_ORM_SINGLE_CONNECTION` or `FST_ORM_POOL_STARVED`.
 */
export function acquireConnection<T> (
  user: ConnectionUser, holders: ConnectionUser[], driver: Driver, acquire: (arrived: () => void) => Promise<T>
): Promise<T> {
  const [holder] = holders
  if (holder === undefined) return acquire(ARRIVED)
  for (const other of holders) {
    const committed = other.hastenCommit()
    if (committed !== undefined) return committed.then(() => acquireConnection(user, holders.filter(holder => holder !== other), driver, acquire))
  }
  if (!driver.isPool) return refuseSingleConnection(user, holder)
  driver.gate.note(holders.length)
  return acquireWithin(user, holders, driver, acquire)
}

/** V8 sees through MikroORM's promises to the caller's line, once they are linked (7.2.1 passes some of them on). */
async function refuseSingleConnection (user: ConnectionUser, holder: ConnectionUser): Promise<never> {
  await untilPromisesHaveRun()
  throw withCallersLine(() => new FST_ORM_SINGLE_CONNECTION(user.name, holder.name))
}

/** Acquires the connection of a transaction. The caller releases the gate when that has ended. */
export function acquireForTransaction<T> (
  user: ConnectionUser, holders: ConnectionUser[], driver: Driver, begin: (arrived: () => void) => Promise<T>
): Promise<T> {
  const { gate } = driver
  return acquireConnection(user, holders, driver, async arrived => {
    const admitted = gate.acquire(holders.length)
    if (admitted !== undefined) await admitted
    try {
      return await begin(arrived)
    } catch (error) {
      gate.release()
      throw error
    }
  })
}

/** The contexts that wait while `user` waits, and hold connections of the pool: once for each connection. */
export function holdersAround (user: ConnectionUser, driver: Driver): ConnectionUser[] {
  const { parent, caller } = user
  if (parent === undefined && (caller === undefined || caller === user)) return NONE
  const holders = holdersIn(parent, driver)
  return caller === undefined || caller === user || isAround(caller, user) ? holders : [...holdersIn(caller, driver, user), ...holders]
}

/** Those of a chain of contexts, up to `end`. */
function holdersIn (first: ConnectionUser | undefined, driver: Driver, end?: ConnectionUser): ConnectionUser[] {
  const holders: ConnectionUser[] = []
  for (let user = first; user !== undefined && user !== end; user = user.parent) {
    for (let count = user.connectionsOf(driver); count > 0; count--) holders.push(user)
  }
  return holders
}

function isAround (context: ConnectionUser, user: ConnectionUser): boolean {
  for (let { parent } = user; parent !== undefined; { parent } = parent) if (parent === context) return true
  return false
}

const NONE: ConnectionUser[] = []

async function acquireWithin<T> (
  user: ConnectionUser, holders: ConnectionUser[], driver: Driver, acquire: (arrived: () => void) => Promise<T>
): Promise<T> {
  const { size } = driver.gate
  const wait: Wait = { holders }
  const all = waits.get(driver) ?? new Set()
  waits.set(driver, all)
  all.add(wait)

  const starved = Promise.withResolvers<typeof STARVED>()
  let checks = 0
  const timer = setInterval(() => {
    checks++
    // however the connections are held: by whom we cannot see, such as an EntityManager of the user's own
    const isTooLong = checks * patience.checkEvery >= patience.starvedPool
    if (!isTooLong && !(countHeld(driver, all) >= size && wait === [...all].at(-1))) return
    stop()
    starved.resolve(STARVED)
  }, patience.checkEvery)
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
  throw withCallersLine(() => new FST_ORM_POOL_STARVED(user.name, holders[0]!.name, String(size), String(checks * patience.checkEvery / 1000)))
}

const STARVED = Symbol('starved')
const ARRIVED = (): void => {}

/** How many connections are held by contexts while something inside them waits for another. */
function countHeld (driver: Driver, all: Set<Wait>): number {
  const holders = new Set<ConnectionUser>()
  for (const wait of all) for (const holder of wait.holders) holders.add(holder)
  let count = 0
  for (const holder of holders) count += holder.connectionsOf(driver)
  return count
}

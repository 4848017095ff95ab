import type { EntityManager, MikroORM } from '@mikro-orm/core'
import type { AbstractSqlConnection, AbstractSqlDriver } from '@mikro-orm/sql'
import { isPool } from '../drivers/kysely/connections.ts'
import { FST_ORM_SANDBOX_TAKEN, withCallersLine } from '../errors.ts'
import { forkWith } from '../mikro-orm/internals.ts'
import { hasPendingChanges } from '../mikro-orm/pending-changes.ts'
import { patience } from '../util/patience.ts'
import { connectionsOf, rerouteConnection } from './internals.ts'
import { SandboxTransaction } from './sandbox-transaction.ts'
import { sandboxDatabase, type SandboxedDatabase } from './sandboxed-database.ts'

type Client = ReturnType<AbstractSqlConnection['getClient']>

/** The sandboxes on a pool. */
interface OpenSandboxes {
  /** One at a time: it holds the only connection. */
  readonly isSingle: boolean
  count: number
  lastEnded: number
}

const openOn = new WeakMap<AbstractSqlConnection, OpenSandboxes>()

/** One database of a sandbox. */
export class SandboxOfDatabase {
  /** What `sandbox.em` is for this database. */
  readonly em: EntityManager
  /** As contexts see it, and whatever else runs inside of the sandbox. */
  readonly contexts: SandboxedDatabase
  readonly #driver: AbstractSqlDriver
  readonly #transaction: SandboxTransaction
  readonly #leave: () => void

  private constructor (orm: MikroORM, transaction: SandboxTransaction, client: Client, leave: () => void) {
    this.#driver = driverOf(orm)
    this.#transaction = transaction
    this.#leave = leave
    this.contexts = sandboxDatabase(transaction, this.#driver, client, 'an EntityManager outside of a context')
    const { driver } = sandboxDatabase(transaction, this.#driver, client, 'sandbox.em')
    this.em = Object.assign(forkWith(driver, orm.em), READING)
  }

  /** Takes a connection and begins. `connectionOf` gives that of the sandbox that the caller is in, if he is in one. */
  static async begin (orm: MikroORM, connectionOf: (real: AbstractSqlConnection) => AbstractSqlConnection | undefined): Promise<SandboxOfDatabase> {
    const driver = driverOf(orm)
    const real: AbstractSqlConnection = driver.getConnection('write')
    await real.ensureConnection() // of some drivers, a connection that nothing has used has no client
    const isNested = connectionOf(real) !== undefined
    if (!isNested && isTaken(real)) {
      throw new FST_ORM_SANDBOX_TAKEN('createSandbox()', orm.em.name, ONLY_ONE, 'Here there is one sandbox at a time: roll the other one back before, and run such tests one after the other')
    }
    const client = real.getClient()
    const name = orm.em.name
    const leave = enter(driver, client, () => connectionOf(real) ?? refuseIfTaken(real, name))
    try {
      const transaction = await beginInTime(real, client, name)
      return new SandboxOfDatabase(orm, transaction, client, leave)
    } catch (error) {
      leave()
      throw error
    }
  }

  get name (): string {
    return this.em.name
  }

  isOf (driver: unknown): boolean {
    return driver === this.#driver || driver === this.contexts.driver
  }

  hasConnection (real: AbstractSqlConnection): boolean {
    return connectionsOf(this.#driver).includes(real)
  }

  async end (): Promise<void> {
    try {
      await this.#transaction.end()
    } finally {
      this.#leave()
    }
  }
}

const ONLY_ONE = 'its only one is held by a sandbox'

/** What has been loaded for one part of a test is not what the next part has made of it. (What is not flushed stays.) */
const READING = {
  async find (this: EntityManager, ...[entity, where, options]: Parameters<EntityManager['find']>): Promise<unknown> {
    return await Object.getPrototypeOf(this).find.call(this, entity, where, { refresh: !hasPendingChanges(this.getContext()), ...options })
  },

  async findOne (this: EntityManager, ...[entity, where, options]: Parameters<EntityManager['findOne']>): Promise<unknown> {
    return await Object.getPrototypeOf(this).findOne.call(this, entity, where, { refresh: !hasPendingChanges(this.getContext()), ...options })
  }
}

/** From now on, and for good, `route` is asked whose connection it is: what a sandbox has left behind must not get the real one. */
function enter (driver: AbstractSqlDriver, client: Client, route: () => AbstractSqlConnection | undefined): () => void {
  const real: AbstractSqlConnection = driver.getConnection('write')
  let open = openOn.get(real)
  if (open === undefined) {
    open = { isSingle: !isPool(client), count: 0, lastEnded: 0 }
    openOn.set(real, open)
    for (const connection of connectionsOf(driver)) rerouteConnection(connection, route)
  }
  open.count++
  return () => {
    open.count--
    open.lastEnded = performance.now()
  }
}

/** Outside of the sandbox, everything would wait for its end. */
function refuseIfTaken (real: AbstractSqlConnection, name: string): undefined {
  if (!isTaken(real)) return
  throw withCallersLine(() => new FST_ORM_SANDBOX_TAKEN('What runs outside of sandbox.run()', name, ONLY_ONE, 'Run it inside, send sandbox.headers with the request, or roll the sandbox back before'))
}

async function beginInTime (real: AbstractSqlConnection, client: Client, name: string): Promise<SandboxTransaction> {
  const since = performance.now()
  const failed = Promise.withResolvers<never>()
  let error: Error | undefined
  const timer = setInterval(() => {
    const { lastEnded, count } = openOn.get(real)!
    if (performance.now() - Math.max(since, lastEnded) < patience.takenSandbox) return
    clearInterval(timer)
    error = new FST_ORM_SANDBOX_TAKEN('createSandbox()', name, `none has become free in ${patience.takenSandbox / 1000} s, with ${count - 1} other sandboxes open`, 'Roll back those that are over, run fewer tests at once, or make the pool larger')
    failed.reject(error)
  }, patience.checkEvery)
  const arrived = (): void => {
    clearInterval(timer)
    if (error !== undefined) throw error
  }
  try {
    return await Promise.race([SandboxTransaction.begin(real, client, arrived), failed.promise])
  } finally {
    clearInterval(timer)
  }
}

function driverOf (orm: MikroORM): AbstractSqlDriver {
  return orm.em.getDriver() as AbstractSqlDriver
}

/** Its one connection is held by a sandbox. */
function isTaken (connection: AbstractSqlConnection): boolean {
  const open = openOn.get(connection)
  return open !== undefined && open.isSingle && open.count > 0
}

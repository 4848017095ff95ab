import { Utils, wrap, type EntityManager, type MikroORM } from '@mikro-orm/core'
import type { AbstractSqlConnection, AbstractSqlDriver } from '@mikro-orm/sql'
import { FST_ORM_SANDBOX_TAKEN, withCallersLine } from '../errors.ts'
import { connectionsOf, forkWith, rerouteConnection } from './internals.ts'
import { sandboxDatabase, type SandboxedDatabase } from './sandbox-connection.ts'
import { SandboxTransaction } from './sandbox-transaction.ts'
import { dialectOf } from '../drivers/dialect.ts'

type Client = ReturnType<AbstractSqlConnection['getClient']>

/** For how long no sandbox may end while another one waits for a connection. */
const TAKEN_MS = 10_000
const CHECK_EVERY_MS = 1000

/** The sandboxes on a pool. */
interface OpenSandboxes {
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
      throw new FST_ORM_SANDBOX_TAKEN('createSandbox()', orm.em.name, ONLY_ONE, 'There is one sandbox at a time on SQLite: roll the other one back before, and run such tests one after the other')
    }
    const client = real.getClient()
    const name = orm.em.name
    const leave = enter(driver, () => connectionOf(real) ?? refuseIfTaken(real, name))
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
    return await Object.getPrototypeOf(this).find.call(this, entity, where, { refresh: !hasUnflushed(this), ...options })
  },

  async findOne (this: EntityManager, ...[entity, where, options]: Parameters<EntityManager['findOne']>): Promise<unknown> {
    return await Object.getPrototypeOf(this).findOne.call(this, entity, where, { refresh: !hasUnflushed(this), ...options })
  }
}

/** Without a look at what a flush would do, which changes entities itself (`onUpdate`, in MikroORM 7.2.1). */
function hasUnflushed (em: EntityManager): boolean {
  const changes = em.getUnitOfWork()
  if (changes.getPersistStack().size + changes.getRemoveStack().size > 0) return true
  for (const entity of changes.getIdentityMap()) {
    const { __originalEntityData: original } = wrap(entity, true)
    if (!Utils.equals(em.getComparator().prepareEntity(entity), original)) return true
  }
  return false
}

/** From now on, and for good, `route` is asked whose connection it is: what a sandbox has left behind must not get the real one. */
function enter (driver: AbstractSqlDriver, route: () => AbstractSqlConnection | undefined): () => void {
  const real: AbstractSqlConnection = driver.getConnection('write')
  let open = openOn.get(real)
  if (open === undefined) {
    open = { count: 0, lastEnded: 0 }
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
    if (performance.now() - Math.max(since, lastEnded) < TAKEN_MS) return
    clearInterval(timer)
    error = new FST_ORM_SANDBOX_TAKEN('createSandbox()', name, `none has become free in ${TAKEN_MS / 1000} s, with ${count - 1} other sandboxes open`, 'Roll back those that are over, run fewer tests at once, or make the pool larger')
    failed.reject(error)
  }, CHECK_EVERY_MS)
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

/** SQLite has one connection, and a sandbox holds it. */
function isTaken (connection: AbstractSqlConnection): boolean {
  return dialectOf(connection.getPlatform()) === 'sqlite' && (openOn.get(connection)?.count ?? 0) > 0
}

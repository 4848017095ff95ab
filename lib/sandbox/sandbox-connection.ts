import type { EntityManager } from '@mikro-orm/core'
import type { AbstractSqlConnection, AbstractSqlDriver, SessionContext } from '@mikro-orm/sql'
import { currentContext } from '../context/context.ts'
import { FST_ORM_SANDBOX_REFUSED } from '../errors.ts'
import type { ControlledTransaction } from '../drivers/pinned-transaction.ts'
import { connectionOf, sandboxClient, type SandboxConnection } from './sandbox-client.ts'
import type { SandboxTransaction } from './sandbox-transaction.ts'
import { runInTransaction, SANDBOXED } from '../context/sandboxes.ts'
import { connectionPrototypeOf } from '../drivers/sql-package.ts'

/**
 * MikroORM's objects for a database, as they are inside a sandbox: a connection that uses the sandbox's, and a driver
 * with no other connection than that. Every use of what MikroORM 7.2.1 does not publish for that is in this file.
 */

type Client = ReturnType<AbstractSqlConnection['getClient']>
type Execute = AbstractSqlConnection['execute']
type Stream = AbstractSqlConnection['stream']
type CallRoutine = AbstractSqlConnection['callRoutine']
type Transactional = AbstractSqlConnection['transactional']

/** Of MikroORM's connections, all that leads to the database: the rest is built on these. */
const ROUTES = ['getClient', 'getNativeClient', 'executeDump', 'execute', 'stream', 'transactional'] as const

interface ConnectionInternals {
  applySessionContext (trx: ControlledTransaction, sessionContext: SessionContext, ...rest: unknown[]): Promise<void>
}

/** A database as one user of the sandbox sees it. */
export interface SandboxedDatabase {
  readonly connection: AbstractSqlConnection
  readonly driver: AbstractSqlDriver
}

/** `who` uses it, where that is no context. `client` is the one that the sandbox's connection comes from. */
export function sandboxDatabase (transaction: SandboxTransaction, driver: AbstractSqlDriver, client: Client, who: string): SandboxedDatabase {
  const real: AbstractSqlConnection = driver.getConnection('write')
  const inherited = Object.getPrototypeOf(real) as AbstractSqlConnection
  const ofSandbox = sandboxClient(transaction, client, who)
  const refuse = (what: string): Promise<never> => Promise.reject(new FST_ORM_SANDBOX_REFUSED(currentContext()?.name ?? who, what))
  const connection = viewOf(real, {
    [SANDBOXED]: true,
    getClient: () => ofSandbox,
    getNativeClient: () => refuse('getNativeClient()'),
    // by default through the client
    executeDump: (dump: string) => inherited.executeDump === connectionPrototypeOf(real).executeDump ? inherited.executeDump.call(connection, dump) : refuse('executeDump()'),
    // on the real one, whose client is private, and not asked if there is a transaction
    execute: ((query, params, method, ctx, log) => inherited.execute.call(real, query, params, method, ctx ?? ofSandbox as never, log)) as Execute,
    stream: ((query, params, ctx, ...rest) => inherited.stream.call(real, query, params, ctx ?? ofSandbox as never, ...rest)) as Stream,
    callRoutine: ((routine, args, ctx) => inherited.callRoutine.call(real, routine, args, ctx ?? ofSandbox as never)) as CallRoutine,
    transactional: ((callback, options) => inherited.transactional.call(connection, async trx => await runInTransaction(await connectionOf(trx as ControlledTransaction), () => callback(trx)), options)) as Transactional,

    async applySessionContext (trx: ControlledTransaction, sessionContext: SessionContext, ...rest: unknown[]): Promise<void> {
      const { savepoint } = await connectionOf(trx) as SandboxConnection
      const names = [...Object.keys({ ...sessionContext.variables }), ...(sessionContext.role === undefined ? [] : ['role'])]
      savepoint!.onLeave(await transaction.rules.noteSettings(names))
      await (inherited as unknown as ConnectionInternals).applySessionContext.call(connection, trx, sessionContext, ...rest)
    }
  })
  const sandboxed = Object.create(driver, { connection: { value: connection }, getConnection: { value: () => connection } })
  return { connection, driver: sandboxed }
}

/** These use private members, which a view has not, or come to something that does. */
const OF_THE_REAL = ['connect', 'ensureConnection', 'close', 'execute', 'stream', 'logQuery'] as const

/** The same connection, but for what is given, and whatever has become of the real one's routes. */
export function viewOf (real: AbstractSqlConnection, overrides: object): AbstractSqlConnection {
  const inherited = Object.getPrototypeOf(real)
  const bound = Object.fromEntries(OF_THE_REAL.map(name => [name, inherited[name].bind(real)]))
  return Object.assign(Object.create(real), { transactional: inherited.transactional, ...bound, ...overrides })
}

/** Forks an EntityManager for another driver: what it is made of asks for the driver while it is being made. */
export function forkWith (driver: AbstractSqlDriver, em: EntityManager): EntityManager {
  const internals = em as unknown as { driver: AbstractSqlDriver }
  const own = internals.driver
  internals.driver = driver
  try {
    return em.fork({ disableContextResolution: true })
  } finally {
    internals.driver = own
  }
}

/** All connections of a driver, read replicas included. */
export function connectionsOf (driver: AbstractSqlDriver): AbstractSqlConnection[] {
  const { replicas } = driver as unknown as { replicas: AbstractSqlConnection[] }
  return [driver.getConnection('write'), ...replicas]
}

/** Makes a real connection ask `route`, for each use, whether another one is to be used. */
export function rerouteConnection (real: AbstractSqlConnection, route: () => AbstractSqlConnection | undefined): void {
  const inherited = Object.getPrototypeOf(real)
  for (const name of ROUTES) {
    Object.defineProperty(real, name, {
      configurable: true,
      writable: true,
      value: (...args: unknown[]) => {
        const other = route()
        return other === undefined ? Reflect.apply(inherited[name], real, args) : Reflect.apply(other[name] as (...args: unknown[]) => unknown, other, args)
      }
    })
  }
}

import type { AbstractSqlConnection, AbstractSqlDriver, SessionContext } from '@mikro-orm/sql'
import { currentContext } from '../context/context.ts'
import { FST_ORM_SANDBOX_REFUSED } from '../errors.ts'
import type { ControlledTransaction } from '../drivers/pinned-transaction.ts'
import { viewOf } from './internals.ts'
import { connectionOf, sandboxClient } from './sandbox-client.ts'
import type { SandboxConnection } from './sandbox-connection.ts'
import { runInside, SandboxDriver } from './sandbox-driver.ts'
import type { SandboxTransaction } from './sandbox-transaction.ts'
import { DRIVER, type Driver } from '../drivers/driver.ts'
import { connectionPrototypeOf } from '../drivers/internals.ts'

/**
 * MikroORM's objects for a database, as they are inside a sandbox: a connection that uses the sandbox's, and a driver
 * with no other connection than that.
 */

type Client = ReturnType<AbstractSqlConnection['getClient']>
type Execute = AbstractSqlConnection['execute']
type Stream = AbstractSqlConnection['stream']
type CallRoutine = AbstractSqlConnection['callRoutine']
type Transactional = AbstractSqlConnection['transactional']

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
    getClient: () => ofSandbox,
    getNativeClient: () => refuse('getNativeClient()'),
    // by default through the client
    executeDump: (dump: string) => inherited.executeDump === connectionPrototypeOf(real).executeDump ? inherited.executeDump.call(connection, dump) : refuse('executeDump()'),
    // on the real one, whose client is private, and not asked if there is a transaction
    execute: ((query, params, method, ctx, log) => inherited.execute.call(real, query, params, method, ctx ?? ofSandbox as never, log)) as Execute,
    stream: ((query, params, ctx, ...rest) => inherited.stream.call(real, query, params, ctx ?? ofSandbox as never, ...rest)) as Stream,
    callRoutine: ((routine, args, ctx) => inherited.callRoutine.call(real, routine, args, ctx ?? ofSandbox as never)) as CallRoutine,
    transactional: ((callback, options) => inherited.transactional.call(connection, async trx => await runInside(await connectionOf(trx as ControlledTransaction), () => callback(trx)), options)) as Transactional,

    async applySessionContext (trx: ControlledTransaction, sessionContext: SessionContext, ...rest: unknown[]): Promise<void> {
      const { savepoint } = await connectionOf(trx) as SandboxConnection
      const names = [...Object.keys({ ...sessionContext.variables }), ...(sessionContext.role === undefined ? [] : ['role'])]
      savepoint!.onLeave(await transaction.rules.noteSettings(names))
      await (inherited as unknown as ConnectionInternals).applySessionContext.call(connection, trx, sessionContext, ...rest)
    }
  })
  Object.assign(connection, { [DRIVER]: new SandboxDriver(transaction.dialect, connection, driver.config) } satisfies { [DRIVER]: Driver })
  const sandboxed = Object.create(driver, { connection: { value: connection }, getConnection: { value: () => connection } })
  return { connection, driver: sandboxed }
}

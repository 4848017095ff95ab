import type { EntityManager } from '@mikro-orm/core'
import type { AbstractSqlConnection, AbstractSqlDriver } from '@mikro-orm/sql'

/** What MikroORM 7.2.1 does not publish of replicas. */
interface ConnectionInternals {
  readonly options: { driverOptions?: object, name?: string, host?: string, port?: number, dbName?: string }
}

/** Where the driver of an EntityManager keeps the one that it stands for. */
export const STANDS_FOR: unique symbol = Symbol('fastify-context-orm.standsFor')

/** That of the MikroORM itself. */
export function realDriver (driver: AbstractSqlDriver & { [STANDS_FOR]?: AbstractSqlDriver }): AbstractSqlDriver {
  return driver[STANDS_FOR] ?? driver
}

/** `getConnection('read')` gives one of them by chance. */
export function replicasIn (driver: AbstractSqlDriver): readonly AbstractSqlConnection[] {
  return (driver as unknown as { replicas?: readonly AbstractSqlConnection[] }).replicas ?? []
}

/** A connection to the same server, which has another pool. */
export function anotherLike (connection: AbstractSqlConnection, config: EntityManager['config'], driverOptions: object): AbstractSqlConnection {
  const { options } = connection as unknown as ConnectionInternals
  const Connection = connection.constructor as new (config: EntityManager['config'], options: object, type: 'read') => AbstractSqlConnection
  return new Connection(config, { ...options, driverOptions: { ...config.get('driverOptions'), ...options.driverOptions, ...driverOptions } }, 'read')
}

/** As MikroORM's log calls it. */
export function nameOf (connection: AbstractSqlConnection): string {
  const { name, host, port, dbName } = (connection as unknown as ConnectionInternals).options
  return name ?? (host === undefined ? String(dbName) : `${host}:${port}`)
}

/** Has `alsoClose` run when MikroORM closes the connection. */
export function closeWith (connection: AbstractSqlConnection, alsoClose: () => Promise<void>): void {
  const inherited = Object.getPrototypeOf(connection) as AbstractSqlConnection
  connection.close = async force => {
    await alsoClose()
    await inherited.close.call(connection, force)
  }
}

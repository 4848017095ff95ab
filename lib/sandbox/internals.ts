import type { AbstractSqlConnection, AbstractSqlDriver } from '@mikro-orm/sql'

/** What MikroORM 7.2.1 does not publish of connections and drivers, and a sandbox needs. */

/** All that leads to the database on a connection of MikroORM's: the rest is built on these. */
const ROUTES = ['getClient', 'getNativeClient', 'executeDump', 'execute', 'stream', 'transactional'] as const

/** These use private members, which a view has not, or come to something that does. */
const OF_THE_REAL = ['connect', 'ensureConnection', 'close', 'execute', 'stream', 'logQuery'] as const

/** The same connection with other methods in place of those that are given. Routes of the real one do not matter to it. */
export function viewOf (real: AbstractSqlConnection, overrides: object): AbstractSqlConnection {
  const inherited = Object.getPrototypeOf(real)
  const bound = Object.fromEntries(OF_THE_REAL.map(name => [name, inherited[name].bind(real)]))
  return Object.assign(Object.create(real), { transactional: inherited.transactional, ...bound, ...overrides })
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

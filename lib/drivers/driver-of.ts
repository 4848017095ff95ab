import type { EntityManager } from '@mikro-orm/core'
import type { AbstractSqlConnection, AbstractSqlPlatform, SqlEntityManager } from '@mikro-orm/sql'
import { dialectOf, type Dialect } from './dialect.ts'
import { DRIVER, type Driver } from './driver.ts'
import { KyselyDriver } from './kysely/kysely-driver.ts'
import { MysqlDriver } from './mysql/mysql-driver.ts'
import { PgliteDriver } from './pglite/pglite-driver.ts'
import { PostgresqlDriver } from './postgresql/postgresql-driver.ts'
import { SqliteDriver } from './sqlite/sqlite-driver.ts'

type DriverClass = new (connection: AbstractSqlConnection, config: EntityManager['config']) => Driver

/** What speaks a dialect of its own, or another one's. */
type Engine = Dialect | 'pglite'

/** Adding an engine is adding a folder, and a line here. */
const DRIVERS: Record<Engine, DriverClass> = {
  pglite: PgliteDriver,
  postgresql: PostgresqlDriver,
  sqlite: SqliteDriver,
  mysql: MysqlDriver,
  unknown: KyselyDriver
}

const known = new WeakMap<AbstractSqlConnection, Driver>()

/** That of the connection which the EntityManager writes on. */
export function driverOf (em: SqlEntityManager): Driver {
  const connection: AbstractSqlConnection & { [DRIVER]?: Driver } = em.getConnection('write')
  return connection[DRIVER] ?? known.get(connection) ?? meet(connection, em)
}

function meet (connection: AbstractSqlConnection, em: EntityManager): Driver {
  const driver = makeDriver(connection, em.config)
  known.set(connection, driver)
  return driver
}

/** One for a connection of MikroORM's, whichever server that leads to. */
export function makeDriver (connection: AbstractSqlConnection, config: EntityManager['config']): Driver {
  return new DRIVERS[engineOf(connection.getPlatform() as AbstractSqlPlatform)](connection, config)
}

function engineOf (platform: AbstractSqlPlatform): Engine {
  const dialect = dialectOf(platform)
  return dialect === 'postgresql' && !platform.supportsMultipleStatements() ? 'pglite' : dialect
}

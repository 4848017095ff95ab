import type { EntityManager } from '@mikro-orm/core'
import type { AbstractSqlConnection, SqlEntityManager } from '@mikro-orm/sql'
import { dialectOf, type Dialect } from './dialect.ts'
import { DRIVER, type Driver } from './driver.ts'
import { KyselyDriver } from './kysely/kysely-driver.ts'
import { MysqlDriver } from './mysql/mysql-driver.ts'
import { PostgresqlDriver } from './postgresql/postgresql-driver.ts'
import { SqliteDriver } from './sqlite/sqlite-driver.ts'

type DriverClass = new (connection: AbstractSqlConnection, config: EntityManager['config']) => Driver

/** Adding an engine is adding a folder, and a line here. */
const DRIVERS: Record<Dialect, DriverClass> = {
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
  const driver = new DRIVERS[dialectOf(connection.getPlatform())](connection, em.config)
  known.set(connection, driver)
  return driver
}

import type { Dialect } from '../dialect.ts'
import { KyselyDriver } from '../kysely/kysely-driver.ts'

/** MySQL and MariaDB. */
export class MysqlDriver extends KyselyDriver {
  override readonly dialect: Dialect = 'mysql'
}

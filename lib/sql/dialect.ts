import { BaseMySqlPlatform, BasePostgreSqlPlatform, SqlitePlatform } from '@mikro-orm/sql'

/** Whose rules a statement is read by. Of an `'unknown'` database, only what holds in all of them is taken for granted. */
export type Dialect = 'postgresql' | 'mysql' | 'sqlite' | 'unknown'

/** MariaDB's is MySQL's, and libSQL's is SQLite's. */
export function dialectOf (platform: object): Dialect {
  if (platform instanceof BasePostgreSqlPlatform) return 'postgresql'
  if (platform instanceof SqlitePlatform) return 'sqlite'
  return platform instanceof BaseMySqlPlatform ? 'mysql' : 'unknown'
}

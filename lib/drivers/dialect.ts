import type { Platform } from '@mikro-orm/core'

/** Whose rules a statement is read by. Of an `'unknown'` database, only what holds in all of them is taken for granted. */
export type Dialect = 'postgresql' | 'mysql' | 'sqlite' | 'unknown'

/**
 * By what the platform says that no other one does, and not by its class, which is a dependency of the driver's. MariaDB's is
 * MySQL's, libSQL's is SQLite's, and PGlite's is PostgreSQL's.
 */
export function dialectOf (platform: Platform): Dialect {
  if (platform.supportsRowLevelSecurity()) return 'postgresql'
  if (!platform.usesDefaultKeyword()) return 'sqlite' // which has no `default` among the values of an insert
  return platform.supportsUnsigned() ? 'mysql' : 'unknown'
}

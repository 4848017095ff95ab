import type { Platform } from '@mikro-orm/core'

/** By what platforms say of themselves, and not by their classes, which are dependencies of the drivers'. */

export function isPostgres (platform: Platform): boolean {
  return platform.supportsRowLevelSecurity()
}

/** MariaDB among them. */
export function isMysql (platform: Platform): boolean {
  return platform.supportsUnsigned()
}

export function isMariadb (platform: Platform): boolean {
  return isMysql(platform) && !platform.convertsJsonAutomatically() // whose JSON is text
}

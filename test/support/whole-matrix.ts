import { notAskedFor } from './asked-engines.ts'
import { withoutChromium } from './browser.ts'
import { withoutGalera } from './galera.ts'
import { hasMariadb } from './mariadb-server.ts'
import { withoutPgBouncer } from './pgbouncer.ts'

/** What is skipped here, and why. */
export function missingInMatrix (): string[] {
  const missing = {
    MariaDB: !notAskedFor('mariadb') && process.env.TEST_MARIADB_URL === undefined && !hasMariadb && 'there is neither TEST_MARIADB_URL nor mariadbd',
    Galera: !notAskedFor('mariadb') && withoutGalera,
    Chromium: withoutChromium,
    PgBouncer: !notAskedFor('postgresql') && withoutPgBouncer
  }
  return Object.entries(missing).filter(([, why]) => why !== false).map(([what, why]) => `${what}: ${why}`)
}

import { notAskedFor } from './asked-engines.ts'

/** Why tests that need a server are skipped, if they are: `npm test` says so. */
export const withoutPostgres: string | false = notAskedFor('postgresql') || (process.env.TEST_WITHOUT_POSTGRES === '1' && 'needs PostgreSQL')
export const withoutMariadb: string | false = notAskedFor('mariadb') ||
  (process.env.TEST_MARIADB_URL === undefined && (process.env.TEST_WITHOUT_MARIADB ?? 'needs TEST_MARIADB_URL'))

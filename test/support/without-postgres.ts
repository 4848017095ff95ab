/** Why tests that need a PostgreSQL are skipped, if they are: `npm test -- --sqlite` says so. */
export const withoutPostgres = process.env.TEST_WITHOUT_POSTGRES === '1' && 'needs PostgreSQL'

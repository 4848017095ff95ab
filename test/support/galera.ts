import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { MikroORM } from '@mikro-orm/mariadb'
import { notAskedFor } from './asked-engines.ts'
import { freePort } from './free-port.ts'
import { giveTo, makeFolder, startProgram, withoutPrograms, type Program } from './program.ts'

const NODES = 3
const PROVIDERS = ['/usr/lib/galera/libgalera_smm.so', '/usr/lib64/galera-4/libgalera_smm.so']
const PROVIDER = PROVIDERS.find(existsSync)
const USER = 'mysql'

/** Why there can be no cluster here, if there cannot. */
export const withoutGalera: string | false = notAskedFor('mariadb') ||
  (withoutPrograms('setpriv', 'mariadbd', 'mariadb-install-db', 'rsync') ?? (PROVIDER === undefined && 'there is no Galera library'))

export interface GaleraNode {
  /** Of an empty database. */
  url: string
  /** On a connection of nobody's but the test's, which sees all that was committed on any node. */
  query (sql: string): Promise<any[]>
  /** As a loss of power does. */
  kill (): Promise<void>
  /** Starts again, and resolves when it has what the others have. */
  start (): Promise<void>
}

export interface Galera {
  nodes: GaleraNode[]
  stop (): Promise<void>
}

interface Ports {
  sql: number
  group: number
  increments: number
  state: number
}

/** Starts a cluster of three nodes on free ports, in a folder of its own that is gone after `stop()`. */
export async function startGalera (): Promise<Galera> {
  const folder = await makeFolder()
  const ports = await Promise.all(Array.from({ length: NODES }, async () => {
    const [sql, group, increments, state] = await Promise.all([freePort(), freePort(), freePort(), freePort()])
    return { sql, group, increments, state } as Ports
  }))
  const members = ports.map(({ group }) => `127.0.0.1:${group}`).join(',')
  const started: Array<{ stop (): Promise<void> }> = []
  const stop = async (): Promise<void> => {
    await Promise.all(started.map(node => node.stop()))
    await folder.remove()
  }
  try {
    const nodes = ports.map((own, i) => new Node(join(folder.path, `node${i + 1}`), own, members))
    const [first, ...others] = nodes as [Node, ...Node[]]
    started.push(...nodes)
    await first.found()
    for (const node of others) await node.start() // one gives the others all they have, one after the other
    return { nodes, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

class Node implements GaleraNode {
  readonly url: string
  readonly #folder: string
  readonly #args: string[]
  #program: Program | undefined
  #observer: MikroORM | undefined

  constructor (folder: string, { sql, group, increments, state }: Ports, members: string) {
    this.#folder = folder
    this.url = `mysql://root@127.0.0.1:${sql}/test`
    // a node that does not answer is left out sooner than by default, and not so soon that a busy machine is taken for dead
    const provider = {
      'gmcast.listen_addr': `tcp://127.0.0.1:${group}`,
      'ist.recv_addr': `127.0.0.1:${increments}`,
      base_port: group,
      'gcache.size': '8M',
      'evs.keepalive_period': 'PT0.5S',
      'evs.suspect_timeout': 'PT2S',
      'evs.inactive_timeout': 'PT5S'
    }
    this.#args = [
      '--no-defaults', `--datadir=${join(folder, 'data')}`, `--tmpdir=${folder}`, `--socket=${join(folder, 'sock')}`, `--pid-file=${join(folder, 'pid')}`,
      `--port=${sql}`, '--bind-address=127.0.0.1', '--skip-name-resolve',
      '--innodb-buffer-pool-size=16M', '--innodb-log-file-size=8M', '--innodb-flush-log-at-trx-commit=0', '--performance-schema=OFF',
      '--key-buffer-size=64K', '--aria-pagecache-buffer-size=1M',
      '--binlog-format=ROW', '--innodb-autoinc-lock-mode=2', '--default-storage-engine=InnoDB',
      '--wsrep-on=ON', `--wsrep-provider=${PROVIDER}`, '--wsrep-cluster-name=test', `--wsrep-cluster-address=gcomm://${members}`,
      `--wsrep-node-address=127.0.0.1:${group}`, `--wsrep-node-incoming-address=127.0.0.1:${sql}`,
      '--wsrep-sst-method=rsync', `--wsrep-sst-receive-address=127.0.0.1:${state}`,
      `--wsrep-provider-options=${Object.entries(provider).map(([name, value]) => `${name}=${value}`).join(';')}`
    ]
  }

  /** Begins a cluster. The others get all they have from there. */
  async found (): Promise<void> {
    const data = await this.#makeFolder()
    const { status, stdout, stderr } = spawnSync('mariadb-install-db', [
      '--no-defaults', `--datadir=${data}`, `--tmpdir=${dirname(data)}`, ...process.getuid?.() === 0 ? [`--user=${USER}`] : [],
      '--auth-root-authentication-method=normal', '--skip-name-resolve'
    ], { encoding: 'utf8' })
    if (status !== 0) throw new Error(`mariadb-install-db has failed:\n${stdout}${stderr}`)
    await this.#run('--wsrep-new-cluster')
  }

  async start (): Promise<void> {
    await this.#makeFolder()
    await this.#run()
  }

  async query (sql: string): Promise<any[]> {
    return await this.#observer!.em.getConnection().execute(sql)
  }

  async kill (): Promise<void> {
    await this.#observer?.close()
    await this.#program?.stop()
  }

  stop (): Promise<void> {
    return this.kill()
  }

  async #makeFolder (): Promise<string> {
    const data = join(this.#folder, 'data')
    await mkdir(data, { recursive: true })
    giveTo(USER, this.#folder)
    return data
  }

  async #run (...args: string[]): Promise<void> {
    const program = startProgram('mariadbd', [...this.#args, ...args], { user: USER, log: join(this.#folder, 'log') })
    this.#program = program
    this.#observer = await MikroORM.init({
      entities: [], clientUrl: this.url, pool: { min: 0, max: 1 }, discovery: { warnWhenNoEntities: false }
    })
    await program.untilReady(async () => {
      try {
        const [status] = await this.query("show status like 'wsrep_local_state_comment'")
        return status?.Value === 'Synced'
      } catch {
        return false
      }
    })
    await this.query('set session wsrep_sync_wait = 1')
  }
}

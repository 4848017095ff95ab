import { spawnSync } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { MikroORM } from '@mikro-orm/mariadb'
import { answers } from './answers.ts'
import { notAskedFor } from './asked-engines.ts'
import { freePort } from './free-port.ts'
import { giveTo, makeFolder, startProgram, withoutPrograms, type Program } from './program.ts'
import { until } from './until.ts'

const USER = 'mysql'

/** Why there can be no replica here, if there cannot. */
export const withoutMariadbReplica: string | false = notAskedFor('mariadb') || (withoutPrograms('setpriv', 'mariadbd', 'mariadb-install-db') ?? false)

export interface MariadbNode {
  /** Of an empty database. */
  url: string
  /** On a connection of nobody's but the test's. */
  query (sql: string): Promise<any[]>
}

export interface MariadbReplica {
  primary: MariadbNode
  replica: MariadbNode & {
    /** Stops applying what the primary sends, and goes on with it. */
    pause (): Promise<void>
    resume (): Promise<void>
    /** Takes connections, and answers nothing, until it goes on. */
    freeze (): void
    thaw (): void
  }
  stop (): Promise<void>
}

/** Starts a primary and an asynchronous replica that follows its GTIDs, on free ports. */
export async function startMariadbReplica (): Promise<MariadbReplica> {
  const folder = await makeFolder()
  const nodes = [new Node(join(folder.path, 'primary'), 1, await freePort()), new Node(join(folder.path, 'replica'), 2, await freePort())] as const
  const stop = async (): Promise<void> => {
    await Promise.all(nodes.map(node => node.stop()))
    await folder.remove()
  }
  try {
    const [primary, replica] = nodes
    await Promise.all(nodes.map(node => node.start()))
    await primary.query("create user repl@'%' identified by 'repl'")
    await primary.query("grant replication slave on *.* to repl@'%'")
    await replica.query(`change master to master_host='127.0.0.1', master_port=${primary.port}, master_user='repl', master_password='repl', master_use_gtid=slave_pos`)
    await replica.query('start slave')
    const [{ pos }] = await primary.query('select @@gtid_binlog_pos as pos')
    await until(async () => (await replica.query('select @@gtid_slave_pos as pos'))[0].pos === pos)
    return { primary, replica, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

class Node implements MariadbNode {
  readonly url: string
  readonly port: number
  readonly #folder: string
  readonly #id: number
  #program: Program | undefined
  #observer: MikroORM | undefined

  constructor (folder: string, id: number, port: number) {
    this.url = `mysql://root@127.0.0.1:${port}/test`
    this.port = port
    this.#folder = folder
    this.#id = id
  }

  async start (): Promise<void> {
    const data = join(this.#folder, 'data')
    await mkdir(data, { recursive: true })
    giveTo(USER, this.#folder)
    const { status, stdout, stderr } = spawnSync('mariadb-install-db', [
      '--no-defaults', `--datadir=${data}`, `--tmpdir=${this.#folder}`, ...process.getuid?.() === 0 ? [`--user=${USER}`] : [], '--auth-root-authentication-method=normal', '--skip-name-resolve'
    ], { encoding: 'utf8' })
    if (status !== 0) throw new Error(`mariadb-install-db has failed:\n${stdout}${stderr}`)
    this.#program = startProgram('mariadbd', [
      '--no-defaults', `--datadir=${data}`, `--tmpdir=${this.#folder}`, `--socket=${join(this.#folder, 'sock')}`, `--pid-file=${join(this.#folder, 'pid')}`, `--port=${this.port}`,
      '--bind-address=127.0.0.1', '--skip-name-resolve', '--innodb-buffer-pool-size=16M', '--innodb-flush-log-at-trx-commit=0', '--performance-schema=OFF',
      `--server-id=${this.#id}`, '--log-bin=log', '--gtid-strict-mode=1', '--log-slave-updates'
    ], { user: USER, log: join(this.#folder, 'log') })
    await this.#program.untilReady(() => answers(this.port, 'data'))
  }

  async query (sql: string): Promise<any[]> {
    this.#observer ??= await MikroORM.init({ entities: [], clientUrl: this.url, pool: { min: 0, max: 1 }, discovery: { warnWhenNoEntities: false } })
    return await this.#observer.em.getConnection().execute(sql)
  }

  async pause (): Promise<void> {
    await this.query('stop slave sql_thread')
  }

  async resume (): Promise<void> {
    await this.query('start slave sql_thread')
  }

  freeze (): void {
    process.kill(this.#program!.pid, 'SIGSTOP')
  }

  thaw (): void {
    process.kill(this.#program!.pid, 'SIGCONT')
  }

  async stop (): Promise<void> {
    await this.#observer?.close()
    await this.#program?.stop()
  }
}

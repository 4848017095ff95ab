import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { freePort } from './free-port.ts'

export const hasPgBouncer: boolean = spawnSync('pgbouncer', ['--version']).status === 0

export interface PgBouncer {
  /** Of the database that it was started for. */
  url: string
  stop (): Promise<void>
}

/** Starts a PgBouncer that pools by transaction, in front of that database. */
export async function startPgBouncer (database: URL): Promise<PgBouncer> {
  const folder = await mkdtemp(join(tmpdir(), 'fastify-context-orm-'))
  const port = await freePort()
  const file = join(folder, 'pgbouncer.ini')
  await writeFile(join(folder, 'users.txt'), `"${database.username}" "${database.password}"\n`)
  await writeFile(file, `
[databases]
* = host=${database.hostname} port=${database.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = trust
auth_file = ${join(folder, 'users.txt')}
pool_mode = transaction
ignore_startup_parameters = extra_float_digits
`)
  await chmod(folder, 0o755)
  const isRoot = process.getuid?.() === 0 // as which PgBouncer does not run
  const child = spawn('pgbouncer', ['-q', ...isRoot ? ['-u', 'nobody'] : [], file], { stdio: 'ignore' })
  const exited = once(child, 'exit')
  const url = new URL(database)
  url.port = String(port)
  while (!await answers(port)) await Promise.race([setTimeout(50), exited.then(() => { throw new Error('PgBouncer did not start') })])
  return {
    url: url.href,
    async stop () {
      child.kill('SIGKILL')
      await exited
      await rm(folder, { recursive: true })
    }
  }
}

async function answers (port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

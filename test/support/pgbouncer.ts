import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { answers } from './answers.ts'
import { freePort } from './free-port.ts'
import { giveTo, makeFolder, startProgram, withoutPrograms } from './program.ts'

/** As root, PgBouncer does not run. */
const USER = 'nobody'

/** Why there can be no PgBouncer here, if there cannot. */
export const withoutPgBouncer: string | false = withoutPrograms('setpriv', 'pgbouncer') ?? false

export interface PgBouncer {
  /** Of the database that it was started for. */
  url: string
  /** Without a word to anybody. */
  kill (): Promise<void>
  /** Starts again, on the same port. */
  start (): Promise<void>
  stop (): Promise<void>
}

/** Starts a PgBouncer that pools by transaction, in front of that database. Further settings look like `default_pool_size=5`. */
export async function startPgBouncer (database: URL, settings: string[] = []): Promise<PgBouncer> {
  const folder = await makeFolder()
  const port = await freePort()
  const file = join(folder.path, 'pgbouncer.ini')
  await writeFile(join(folder.path, 'users.txt'), `"${database.username}" "${database.password}"\n`)
  await writeFile(file, `
[databases]
* = host=${database.hostname} port=${database.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = trust
auth_file = ${join(folder.path, 'users.txt')}
pool_mode = transaction
ignore_startup_parameters = extra_float_digits
${settings.join('\n')}
`)
  giveTo(USER, folder.path)
  const start = async (): Promise<() => Promise<void>> => {
    const program = startProgram('pgbouncer', ['-q', file], { user: USER, log: join(folder.path, 'log') })
    await program.untilReady(() => answers(port, 'connect'))
    return () => program.stop()
  }
  let kill = await start()
  const url = new URL(database)
  url.port = String(port)
  return {
    url: url.href,
    kill: () => kill(),
    async start () { kill = await start() },
    async stop () {
      await kill()
      await folder.remove()
    }
  }
}

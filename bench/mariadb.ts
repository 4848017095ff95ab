import { createConnection, type Connection, type RowDataPacket } from 'mysql2/promise'
import { hasMariadb, startMariadb, type MariadbServer } from '../test/support/mariadb-server.ts'
import { createDatabase } from './create-database.ts'
import type { Database, Statements } from './database.ts'

/** Names of the server's counters that are not a statement's first word. */
const KINDS: Record<string, string> = { rollback_to_savepoint: 'rollback', release_savepoint: 'release', set_option: 'set' }
/** Those that count our own question, and how a connection begins and ends. */
const OUR_OWN = new Set(['show_status', 'admin_commands', 'change_db'])

/** A MariaDB that counts statements: all of them together, so that only one of its databases may be in use. */
export class Mariadb implements Database {
  readonly engine = 'mariadb'
  readonly description: string
  readonly #server: MariadbServer
  readonly #admin: Connection
  #counted: Statements = {}

  private constructor (server: MariadbServer, admin: Connection, version: string) {
    this.#server = server
    this.#admin = admin
    this.description = `MariaDB ${version}`
  }

  static async start (): Promise<Mariadb> {
    if (!hasMariadb) throw new Error('There is no mariadbd on the path: install MariaDB (on Debian: mariadb-server)')
    const server = await startMariadb()
    const admin = await createConnection(server.url)
    const [[row]] = await admin.query<RowDataPacket[]>('select version() as version')
    return new Mariadb(server, admin, (row!.version as string).split('-')[0]!)
  }

  createDatabase (): Promise<string> {
    return createDatabase(this.#server.url, sql => this.#admin.query(sql))
  }

  async takeStatements (): Promise<Statements> {
    const before = this.#counted
    const [rows] = await this.#admin.query<RowDataPacket[]>("show global status like 'Com\\_%'")
    this.#counted = Object.fromEntries(rows.map(({ Variable_name: name, Value: value }) => [name.slice('Com_'.length), Number(value)]))
    const taken: Statements = {}
    for (const [name, count] of Object.entries(this.#counted)) {
      const more = count - (before[name] ?? 0)
      const kind = KINDS[name] ?? name
      if (more > 0 && !OUR_OWN.has(name)) taken[kind] = (taken[kind] ?? 0) + more
    }
    return taken
  }

  async stop (): Promise<void> {
    await this.#admin.end()
    await this.#server.stop()
  }
}

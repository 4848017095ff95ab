import pg from 'pg'
import { startPostgres, type PostgresServer } from '../test/support/postgres-server.ts'
import { createDatabase } from './create-database.ts'
import type { Database, Statements } from './database.ts'

/** A PostgreSQL that counts statements. */
export class Postgres implements Database {
  readonly engine = 'postgresql'
  readonly description: string
  readonly #server: PostgresServer
  readonly #admin: pg.Client

  private constructor (server: PostgresServer, admin: pg.Client, version: string) {
    this.#server = server
    this.#admin = admin
    this.description = `PostgreSQL ${version}`
  }

  static async start (): Promise<Postgres> {
    const server = await startPostgres(['shared_preload_libraries=pg_stat_statements'])
    const admin = new pg.Client({ connectionString: server.url })
    admin.on('error', () => {}) // after Ctrl-C, the server ends first
    await admin.connect()
    await admin.query('create extension pg_stat_statements')
    const { rows: [{ version }] } = await admin.query("select current_setting('server_version') as version")
    return new Postgres(server, admin, version)
  }

  createDatabase (): Promise<string> {
    return createDatabase(this.#server.url, sql => this.#admin.query(sql))
  }

  async takeStatements (databaseUrl: string): Promise<Statements> {
    const { rows } = await this.#admin.query<{ kind: string, calls: number }>(`
      select lower(substring(query from '[a-zA-Z]+')) as kind, sum(calls)::int as calls from pg_stat_statements
      where dbid = (select oid from pg_database where datname = $1) group by kind order by kind
    `, [nameOf(databaseUrl)])
    await this.#admin.query('select pg_stat_statements_reset(0, (select oid from pg_database where datname = $1), 0)', [nameOf(databaseUrl)])
    return Object.fromEntries(rows.map(({ kind, calls }) => [kind, calls]))
  }

  async stop (): Promise<void> {
    await this.#admin.end()
    await this.#server.stop()
  }
}

function nameOf (databaseUrl: string): string {
  return new URL(databaseUrl).pathname.slice(1)
}

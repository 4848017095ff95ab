import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { startPostgres, type PostgresServer } from '../test/support/postgres-server.ts'

/** How often each kind of statement was run, by its first word: `{ begin: 1, insert: 1, commit: 1 }`. */
export type Statements = Record<string, number>

/** A PostgreSQL that counts statements. */
export class Postgres {
  readonly #server: PostgresServer
  readonly #admin: pg.Client
  readonly version: string

  private constructor (server: PostgresServer, admin: pg.Client, version: string) {
    this.#server = server
    this.#admin = admin
    this.version = version
  }

  static async start (): Promise<Postgres> {
    const server = await startPostgres(['shared_preload_libraries=pg_stat_statements'])
    const admin = new pg.Client({ connectionString: server.url })
    await admin.connect()
    await admin.query('create extension pg_stat_statements')
    const { rows: [{ version }] } = await admin.query("select current_setting('server_version') as version")
    return new Postgres(server, admin, version)
  }

  /** The URL of a new, empty database. */
  async createDatabase (): Promise<string> {
    const url = new URL(this.#server.url)
    const name = `bench_${randomUUID().slice(0, 8)}`
    await this.#admin.query(`create database ${name}`)
    url.pathname = `/${name}`
    return url.href
  }

  /** What has been run on that database, as the server saw it, since it was last asked. */
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

import { MikroORM, PostgreSqlDriver } from '@mikro-orm/postgresql'
import type pg from 'pg'
import type { Engine, Orm, PoolDatabase } from './engine.ts'
import { freshDatabase } from '../fresh-database.ts'
import { killOnPostgres } from '../kill.ts'
import { withoutPostgres } from '../without-servers.ts'

export const postgresql: Engine<PoolDatabase> = {
  kind: 'postgresql',
  name: 'PostgreSQL',
  without: withoutPostgres,

  async fresh () {
    const sent: string[] = []
    const pools: pg.Pool[] = []
    const { url, query } = await freshDatabase()
    return {
      kind: 'postgresql',
      sent,
      open: (options: { driverOptions?: { onPoolCreated? (pool: pg.Pool): void } }) => MikroORM.init({
        clientUrl: url,
        pool: { min: 0, max: 5 },
        driver: PostgreSqlDriver,
        ...options,
        driverOptions: {
          ...options.driverOptions,
          onPoolCreated (pool: pg.Pool) {
            pools.push(pool)
            pool.on('connect', client => record(client, sent))
            options.driverOptions?.onPoolCreated?.(pool)
          }
        }
      }) as unknown as Promise<Orm>,
      observe: query,
      sleep: (seconds = 600) => `select pg_sleep(${seconds})`,
      slowRead: 'select count(*) from generate_series(1, 1000000000)',
      slowRows: seconds => `select pg_sleep(${seconds})::text from generate_series(1, 2)`,
      ownId: 'select pg_backend_pid() as id',
      connections: () => query(CONNECTIONS),
      kill: id => killOnPostgres(query, id),
      taken: () => pools.reduce((sum, pool) => sum + pool.totalCount - pool.idleCount, 0)
    }
  }
}

const CONNECTIONS = `
  select pid as id, case when state = 'active' then regexp_replace(query, '^begin;', '') end as sql,
    coalesce(wait_event = 'PgSleep', false) as "isSleeping", coalesce(wait_event_type = 'Lock', false) as "isBlocked",
    coalesce(state like 'idle in transaction%', false) or backend_xid is not null or backend_xmin is not null as "isInTransaction"
  from pg_stat_activity where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()`

/** The pool's own queries among them: everything that goes to the server goes through these two of the wire. */
function record (client: pg.PoolClient, sent: string[]): void {
  const { connection } = client as unknown as { connection: { query (sql: string): void, parse (query: { text: string }): void } }
  const { query, parse } = connection
  connection.query = sql => {
    const [, begin, statement] = /^(begin|start transaction[^;]*);(.*)$/s.exec(sql) ?? []
    sent.push(...begin === undefined ? [sql] : [begin, statement!])
    query.call(connection, sql)
  }
  connection.parse = statement => {
    sent.push(statement.text)
    parse.call(connection, statement)
  }
}

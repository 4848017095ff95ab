import type { AbstractSqlConnection } from '@mikro-orm/sql'
import { rawStatement } from '../kysely/connections.ts'
import type { DatabaseConnection } from '../pinned-transaction.ts'
import { findSession, type MysqlSession } from './internals.ts'

/** Commits, and resolves with the GTID of that: MariaDB sends it with its answer to whoever tracks it. */
export type TrackedCommit = () => Promise<string | undefined>

const sessions = new WeakMap<DatabaseConnection, MysqlSession | null>()

/** `undefined` where it cannot be tracked. The first time, a connection has to be told to. */
export async function trackCommit (ormConnection: AbstractSqlConnection, connection: DatabaseConnection): Promise<TrackedCommit | undefined> {
  let session = sessions.get(connection)
  if (session === undefined) {
    session = await startTracking(ormConnection, connection).catch(() => null) // MySQL has no such variable, and other drivers no such pool
    sessions.set(connection, session)
  }
  return session === null ? undefined : () => commit(session)
}

async function startTracking (ormConnection: AbstractSqlConnection, connection: DatabaseConnection): Promise<MysqlSession | null> {
  const { rows } = await connection.executeQuery<any>(rawStatement('select connection_id() as id, @@session_track_system_variables as tracked'))
  const [{ id, tracked }] = rows
  await connection.executeQuery(rawStatement(`set session session_track_system_variables = '${tracked},last_gtid'`))
  return await findSession(ormConnection, Number(id)) ?? null
}

function commit (session: MysqlSession): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    session.query('commit', (error, header) => {
      if (error === null) resolve(header?.stateChanges?.systemVariables.last_gtid)
      else reject(error)
    })
  })
}

import { LibSqlDriver, MikroORM } from '@mikro-orm/libsql'
import Database from 'libsql'
import { join } from 'node:path'
import type { Engine, Orm } from './engine.ts'
import { queryFile } from './query-file.ts'
import { notAskedFor } from '../asked-engines.ts'

interface Connection {
  executeQuery (query: { sql: string }): Promise<unknown>
  streamQuery (query: { sql: string }): AsyncIterator<unknown>
}

export const libsql: Engine = {
  kind: 'libsql',
  name: 'libSQL',
  without: notAskedFor('libsql'),

  async fresh (t) {
    const sent: string[] = []
    const dbName = join(t.testdir({}), 'test.libsql')
    return {
      kind: 'libsql',
      sent,
      open: options => MikroORM.init({
        dbName, driver: LibSqlDriver, ...options, onCreateConnection: async connection => record(connection as Connection, sent)
      }) as unknown as Promise<Orm>,
      observe: async sql => queryFile(new Database(dbName), sql),
      taken: () => 0
    }
  }
}

function record (connection: Connection, sent: string[]): void {
  const { executeQuery, streamQuery } = connection
  connection.executeQuery = query => {
    sent.push(query.sql)
    return executeQuery.call(connection, query)
  }
  connection.streamQuery = query => {
    sent.push(query.sql)
    return streamQuery.call(connection, query)
  }
}

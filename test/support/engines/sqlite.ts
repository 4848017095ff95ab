import { MikroORM, SqliteDriver } from '@mikro-orm/sqlite'
import Sqlite from 'better-sqlite3'
import { join } from 'node:path'
import type { Engine, Orm } from './engine.ts'
import { queryFile } from './query-file.ts'
import { notAskedFor } from '../asked-engines.ts'

export const sqlite: Engine = {
  kind: 'sqlite',
  name: 'SQLite',
  without: notAskedFor('sqlite'),

  async fresh (t) {
    const sent: string[] = []
    const dbName = join(t.testdir({}), 'test.sqlite')
    return {
      kind: 'sqlite',
      sent,
      open: options => MikroORM.init({
        dbName, driver: SqliteDriver, ...options, driverOptions: { verbose: (sql: string) => sent.push(sql) }
      }) as unknown as Promise<Orm>,
      observe: async sql => queryFile(new Sqlite(dbName, { readonly: true }), sql),
      taken: () => 0
    }
  }
}

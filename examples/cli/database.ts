import type { MikroORM } from '@mikro-orm/core'
import { PostgreSqlDriver } from '@mikro-orm/postgresql'
import { SqlMikroORM } from '@mikro-orm/sql'
import { SqliteDriver } from '@mikro-orm/sqlite'
import { Book, Import } from './entities.ts'
import { ImportError } from './errors.ts'

/** A PostgreSQL, or a file of SQLite. */
export type DatabaseOptions = { url: string } | { file: string }

/** Opens the database, and makes whatever tables are missing. */
export async function openDatabase (options: DatabaseOptions): Promise<MikroORM> {
  const entities = [Book, Import]
  const orm = 'url' in options
    ? await SqlMikroORM.init({ entities, driver: PostgreSqlDriver, clientUrl: options.url })
    : await SqlMikroORM.init({ entities, driver: SqliteDriver, dbName: options.file })
  try {
    await orm.schema.update({ safe: true })
    return orm
  } catch (error: any) {
    await orm.close()
    throw new ImportError(`The database cannot be opened: ${error.message}`, { cause: error })
  }
}

import type { MikroORM } from '@mikro-orm/core'
import { PostgreSqlDriver } from '@mikro-orm/postgresql'
import { SqlMikroORM } from '@mikro-orm/sql'
import { SqliteDriver } from '@mikro-orm/sqlite'
import { Author, Book } from './entities.ts'
import { fillShelves } from './shelves.ts'

export interface DatabaseOptions {
  /** A PostgreSQL, such as `postgresql://user:password@localhost/bookshop`. Without it, SQLite. */
  url?: string
  /** The file of the SQLite database. */
  file: string
}

/** Opens the database, makes whatever tables are missing, and fills an empty shop with books. */
export async function openDatabase ({ url, file }: DatabaseOptions): Promise<MikroORM> {
  const entities = [Author, Book]
  const orm = url === undefined
    ? await SqlMikroORM.init({ entities, driver: SqliteDriver, dbName: file })
    : await SqlMikroORM.init({ entities, driver: PostgreSqlDriver, clientUrl: url })
  try {
    // makes what is missing; an app of your own would have migrations
    await orm.schema.update({ safe: true })
    await fillShelves(orm)
    return orm
  } catch (error) {
    await orm.close()
    throw error
  }
}

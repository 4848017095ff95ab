import { defineEntity, p, type MikroORM } from '@mikro-orm/core'
import { PostgreSqlDriver } from '@mikro-orm/postgresql'
import { SqlMikroORM } from '@mikro-orm/sql'
import { SqliteDriver } from '@mikro-orm/sqlite'

export const Book = defineEntity({
  name: 'Book',
  properties: {
    id: p.integer().primary(),
    title: p.string().unique(),
    stock: p.integer().default(3)
  }
})

export interface DatabaseOptions {
  /** A PostgreSQL, such as `postgresql://user:password@localhost/bookshop`. Without it, SQLite. */
  url?: string
  /** The file of the SQLite database. */
  file: string
}

export async function openDatabase ({ url, file }: DatabaseOptions): Promise<MikroORM> {
  const orm = url === undefined
    ? await SqlMikroORM.init({ entities: [Book], driver: SqliteDriver, dbName: file })
    : await SqlMikroORM.init({ entities: [Book], driver: PostgreSqlDriver, clientUrl: url })
  try {
    // makes what is missing; an app of your own would have migrations
    await orm.schema.update({ safe: true })
    return orm
  } catch (error) {
    await orm.close()
    throw error
  }
}

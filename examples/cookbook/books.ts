/** What the recipes have in common: books by authors, on SQLite in memory, or on the PostgreSQL that `clientUrl` names. */
import { MikroORM, defineEntity, p, type InferEntity, type Options } from '@mikro-orm/core'
import { PostgreSqlDriver } from '@mikro-orm/postgresql'
import { SqliteDriver } from '@mikro-orm/sqlite'

export const Author = defineEntity({
  name: 'Author',
  properties: {
    id: p.integer().primary(),
    name: p.string().unique(),
    books: () => p.oneToMany(Book).mappedBy('author')
  }
})

export const Book = defineEntity({
  name: 'Book',
  properties: {
    id: p.integer().primary(),
    title: p.string().unique(),
    stock: p.integer().default(3),
    author: () => p.manyToOne(Author).nullable()
  }
})

export type IBook = InferEntity<typeof Book>

export function bookOptions (options: Partial<Options> = {}): Options {
  const driver = options.clientUrl === undefined ? { driver: SqliteDriver, dbName: ':memory:' } : { driver: PostgreSqlDriver }
  return { entities: [Author, Book], ...driver, ...options } as Options
}

export async function openBooks (options?: Partial<Options>): Promise<MikroORM> {
  const orm = await MikroORM.init(bookOptions(options))
  await orm.schema.update({ safe: true })
  return orm
}

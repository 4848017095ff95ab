import { MikroORM, defineEntity, p } from '@mikro-orm/postgresql'

export const Book = defineEntity({
  name: 'Book',
  properties: {
    id: p.integer().primary(),
    title: p.string(),
    stock: p.integer().default(3)
  }
})

interface DatabaseOptions {
  /** Each of the tests that run at once takes one. */
  connections: number
  /** Such as `postgresql://user:password@localhost/books_test`. */
  url?: string
}

/** Opens the tests' database, and makes whatever tables are missing. */
export async function openDatabase ({ connections, url = process.env.TEST_DATABASE_URL }: DatabaseOptions): Promise<MikroORM> {
  const orm = await MikroORM.init({
    entities: [Book],
    clientUrl: url,
    pool: { min: 0, max: connections + 1 }                 // one for the lock below, while the tables are made
  })
  // runners start test files in processes of their own: of those that begin at once, one makes the tables
  await orm.em.fork().transactional(async em => {
    await em.execute('select pg_advisory_xact_lock(1)')
    await orm.schema.update({ safe: true })
  })
  return orm
}

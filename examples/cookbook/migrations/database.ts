import { Migrator } from '@mikro-orm/migrations'
import { MikroORM } from '@mikro-orm/postgresql'
import { Author, Book } from '../books.ts'
import { AddStock } from './migrations/add-stock.ts'
import { CreateBooks } from './migrations/create-books.ts'

/** Any number that nothing else in the database locks. */
const MIGRATING = 20260101

export const migrations = [{ name: 'create-books', class: CreateBooks }, { name: 'add-stock', class: AddStock }]

/** Opens the database, with all migrations done. If one fails, none is, and nothing is left open. */
export async function openDatabase (clientUrl: string, migrationsList = migrations): Promise<MikroORM> {
  const orm = await MikroORM.init({
    clientUrl, entities: [Author, Book], extensions: [Migrator], migrations: { migrationsList, snapshot: false }
  })
  try {
    await migrate(orm)
    return orm
  } catch (error) {
    await orm.close()
    throw error
  }
}

/** One instance migrates. Others that start at the same time wait, and find that it is done. */
async function migrate (orm: MikroORM): Promise<void> {
  await orm.em.fork().transactional(async em => {
    await em.execute('select pg_advisory_xact_lock(?)', [MIGRATING])
    await orm.migrator.up({ transaction: em.getTransactionContext() })
  })
}

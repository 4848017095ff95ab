import type { MikroORM } from '@mikro-orm/core'
import { PostgreSqlDriver } from '@mikro-orm/postgresql'
import { SqlMikroORM } from '@mikro-orm/sql'
import { SqliteDriver } from '@mikro-orm/sqlite'
import { Order, OutboxEntry, Product } from './main-entities.ts'
import { Sale } from './reporting-entities.ts'

export interface DatabasesOptions {
  /** A PostgreSQL for the main database. Without it, SQLite. */
  url?: string
  /** The file of the main database on SQLite. */
  file: string
  /** The file of the reporting database. */
  reportingFile: string
}

/** The main one comes first, and is `em()`; the other is `em('reporting')`. */
export async function openDatabases (options: DatabasesOptions): Promise<MikroORM[]> {
  const main = await openMain(options)
  try {
    return [main, await openReporting(options)]
  } catch (error) {
    await main.close()
    throw error
  }
}

export async function openMain ({ url, file }: DatabasesOptions): Promise<MikroORM> {
  const entities = [Product, Order, OutboxEntry]
  const orm = url === undefined
    ? await SqlMikroORM.init({ entities, driver: SqliteDriver, dbName: file })
    : await SqlMikroORM.init({ entities, driver: PostgreSqlDriver, clientUrl: url })
  return await prepare<MikroORM>(orm, async () => {
    const em = orm.em.fork()
    if (await em.count(Product) > 0) return
    em.create(Product, { name: 'Pen', price: 250, stock: 100 })
    em.create(Product, { name: 'Notebook', price: 600, stock: 20 })
    await em.flush()
  })
}

export async function openReporting ({ reportingFile }: DatabasesOptions) {
  return await prepare(await SqlMikroORM.init({
    contextName: 'reporting', entities: [Sale], driver: SqliteDriver, dbName: reportingFile
  }))
}

async function prepare<Orm extends MikroORM> (orm: Orm, fill = async (): Promise<void> => {}): Promise<Orm> {
  try {
    await orm.schema.update({ safe: true })
    await fill()
    return orm
  } catch (error) {
    await orm.close()
    throw error
  }
}

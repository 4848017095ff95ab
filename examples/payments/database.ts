import type { MikroORM } from '@mikro-orm/core'
import { SqlMikroORM } from '@mikro-orm/sql'
import { SqliteDriver } from '@mikro-orm/sqlite'
import { IdempotencyKey } from 'fastify-context-orm/idempotency'
import { Account, Payment } from './entities.ts'

/** With two accounts, if it is new. */
export async function openDatabase (dbName: string): Promise<MikroORM> {
  const orm = await SqlMikroORM.init({ driver: SqliteDriver, dbName, entities: [Account, Payment, IdempotencyKey] })
  await orm.schema.update({ safe: true })
  const em = orm.em.fork()
  if (await em.count(Account) === 0) {
    em.create(Account, { token: 'jane', balance: 10_000 })
    em.create(Account, { token: 'fanny', balance: 0 })
    await em.flush()
  }
  return orm as unknown as MikroORM
}

import { TransactionContext } from '@mikro-orm/core'
import type { AbstractSqlConnection } from '@mikro-orm/sql'
import { checkKysely, USED_OF_EXECUTOR, USED_OF_KYSELY } from '../../lib/drivers/internals.ts'
import { checkMikroOrm, USED_OF_MIKRO_ORM } from '../../lib/mikro-orm/internals.ts'
import { onEachDatabase, onPostgres } from '../support/databases.ts'
import { poolOf } from '../support/pool-of.ts'

onEachDatabase('each method of MikroORM that is used and not published is there, and missed where it is not', async (t, { orm }) => {
  t.doesNotThrow(() => checkMikroOrm(orm))
  for (const [owner, of, methods] of USED_OF_MIKRO_ORM) {
    for (const method of methods) {
      const object = of(orm) as Record<string, unknown>
      const own = Object.getOwnPropertyDescriptor(object, method)
      object[method] = undefined
      t.throws(() => checkMikroOrm(orm), { code: 'FST_ORM_UNSUPPORTED', message: `${owner}.${method}()` })
      delete object[method]
      if (own !== undefined) Object.defineProperty(object, method, own)
    }
  }
  t.doesNotThrow(() => checkMikroOrm(orm))
})

onEachDatabase('and so is the storage of transactions, if that is elsewhere', async (t, { orm }) => {
  const holder = TransactionContext as unknown as { storage?: unknown }
  const { storage } = holder
  holder.storage = undefined
  try {
    t.throws(() => checkMikroOrm(orm), { code: 'FST_ORM_UNSUPPORTED', message: 'TransactionContext.storage.run()' })
  } finally {
    holder.storage = storage
  }
})

onEachDatabase('the same of Kysely', async (t, { orm }) => {
  const client = (orm.em.getConnection() as unknown as AbstractSqlConnection).getClient()
  t.doesNotThrow(() => checkKysely(client))
  for (const method of USED_OF_KYSELY.filter(method => method !== 'getExecutor')) {
    t.throws(() => checkKysely(Object.assign(Object.create(client), { [method]: undefined })), { code: 'FST_ORM_UNSUPPORTED', message: `Kysely.${method}()` })
  }
  for (const method of USED_OF_EXECUTOR) {
    const executor = Object.assign(Object.create(client.getExecutor()), { [method]: undefined })
    t.throws(() => checkKysely(Object.assign(Object.create(client), { getExecutor: () => executor })), { code: 'FST_ORM_UNSUPPORTED', message: `Kysely's QueryExecutor.${method}()` })
  }
})

onEachDatabase('a fork keeps its abort settings where they are set by us', async (t, { orm }) => {
  const { signal } = new AbortController()
  const fork = orm.em.fork({ signal, inflightQueryAbortStrategy: 'cancel query' })
  t.match(fork, { signal, inflightQueryAbortStrategy: 'cancel query' })
})

onPostgres('a client of pg has what cancels it, and says whether a transaction is open', async (t, { orm }) => {
  const client = await (await poolOf(orm)).connect() as unknown as Record<string, any>
  for (const method of ['cancel', 'getTransactionStatus'] as const) t.type(client[method], 'function')
  t.type(client.processID, 'number')
  t.not(client.secretKey, undefined)
  t.equal(client.getTransactionStatus(), 'I')
  client.release()
})

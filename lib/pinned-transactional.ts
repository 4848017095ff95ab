import { EventType, type EntityManager, type TransactionEventBroadcaster } from '@mikro-orm/core'
import type { AbstractSqlConnection, SqlEntityManager } from '@mikro-orm/sql'
import { KyselyTransaction } from './kysely-transaction.ts'
import type { ControlledTransaction, TransactionSettings } from './pinned-transaction.ts'
import { runInTransaction } from './sandboxes.ts'

interface Options extends TransactionSettings {
  eventBroadcaster?: TransactionEventBroadcaster
}

/**
 * Runs `transactional`, an `em.transactional()` that begins a transaction of MikroORM's own, on a pinned connection: one
 * that MikroORM 7.2.1 begins straight on the pool would never come back if it died (see `PinnedTransaction`).
 *
 * MikroORM makes a fork, synchronously, and asks that for its connection, once, to run the transaction: so the fork is
 * given one that does just this.
 */
export function onPinnedConnection<T> (em: EntityManager, transactional: () => Promise<T>): Promise<T> {
  const fork = em.fork.bind(em)
  em.fork = (options => lendConnection(fork(options) as SqlEntityManager)) as typeof em.fork
  try {
    return transactional()
  } finally {
    Reflect.deleteProperty(em, 'fork')
  }
}

function lendConnection (fork: SqlEntityManager): SqlEntityManager {
  const connection: AbstractSqlConnection = fork.getConnection('write')
  fork.getConnection = (() => {
    Reflect.deleteProperty(fork, 'getConnection')
    return { transactional: (run: (trx: ControlledTransaction) => Promise<unknown>, options: Options) => runPinned(fork, connection, run, options) }
  }) as typeof fork.getConnection
  return fork
}

/** What `AbstractSqlConnection.transactional()` does, and the errors of `BEGIN` and `COMMIT` as exceptions of MikroORM. */
async function runPinned<T> (
  em: SqlEntityManager, connection: AbstractSqlConnection, run: (trx: ControlledTransaction) => Promise<T>, { eventBroadcaster, ...settings }: Options
): Promise<T> {
  const tell = async (event: Parameters<TransactionEventBroadcaster['dispatchEvent']>[0], trx?: ControlledTransaction): Promise<void> => {
    await eventBroadcaster?.dispatchEvent(event, trx)
  }
  const convert = (error: Error): never => { throw em.getDriver().convertException(error) }

  await tell(EventType.beforeTransactionStart)
  const transaction = await KyselyTransaction.begin(connection, settings, () => {}).catch(convert)
  const { trx } = transaction
  let result: T
  try {
    await tell(EventType.afterTransactionStart, trx)
    result = await runInTransaction(trx, () => run(trx))
    await tell(EventType.beforeTransactionCommit, trx)
  } catch (error) {
    await tell(EventType.beforeTransactionRollback, trx)
    await transaction.rollback().catch(() => {}) // it is the error that matters, and the connection is back in any case
    await tell(EventType.afterTransactionRollback, trx)
    throw error
  }
  await transaction.commit().catch(convert)
  await tell(EventType.afterTransactionCommit, trx)
  return result
}

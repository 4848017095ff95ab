import type { EntityManager } from '@mikro-orm/core'
import type { SqlEntityManager } from '@mikro-orm/sql'
import { deferredKysely, type DeferredKysely } from './deferred-kysely.ts'
import { DeferredTransaction } from './deferred-transaction.ts'
import type { TransactionSettings } from '../drivers/pinned-transaction.ts'
import { driverOf } from '../drivers/driver-of.ts'
import { Savepoint } from './savepoint.ts'
import type { TransactionOwner } from './transaction-owner.ts'

type Run<T> = (view: DeferredKysely) => Promise<T>

/** Notes a transaction for as long as it runs. */
type Note = (transaction: DeferredTransaction) => () => void

/**
 * Runs `transactional`, an `em.transactional()` that begins a transaction of MikroORM's own, as one of ours: it cannot lose
 * its connection (see `PinnedTransaction`), sends nothing after a statement that has failed, and can be cancelled.
 *
 * MikroORM makes a fork, synchronously, and asks that for its connection, once, to run the transaction: so the fork is
 * given one that does just this.
 */
export function runIndependently<T> (em: EntityManager, owner: TransactionOwner, note: Note, transactional: () => Promise<T>): Promise<T> {
  const fork = em.fork.bind(em)
  em.fork = (options => lendTransaction(fork(options) as SqlEntityManager, owner, note)) as typeof em.fork
  try {
    return transactional()
  } finally {
    Reflect.deleteProperty(em, 'fork')
  }
}

function lendTransaction (fork: SqlEntityManager, owner: TransactionOwner, note: Note): SqlEntityManager {
  fork.getConnection = (() => {
    Reflect.deleteProperty(fork, 'getConnection')
    return { transactional: (run: Run<unknown>, settings: TransactionSettings) => runTransaction(fork, owner, note, run, settings) }
  }) as unknown as typeof fork.getConnection
  return fork
}

async function runTransaction<T> (em: SqlEntityManager, owner: TransactionOwner, note: Note, run: Run<T>, settings: TransactionSettings): Promise<T> {
  const { isolationLevel, readOnly, sessionContext } = settings
  const transaction = new DeferredTransaction(em, owner, { transaction: 'on-query' })
  const view = deferredKysely(transaction, em.getConnection('write').getClient(), new Savepoint())
  transaction.view = view
  const forget = note(transaction)
  try {
    await transaction.begin({ isolationLevel, readOnly, sessionContext })
    let result: T
    try {
      result = await driverOf(em).runInside(transaction.connection!, () => run(view))
    } catch (error) {
      await transaction.rollback({ last: true })
      throw error
    }
    await transaction.commit({ last: true })
    return result
  } finally {
    forget()
  }
}

import type { PinnedTransaction, Use } from '../drivers/pinned-transaction.ts'

const GUARD = 'guard_of_transaction'

/**
 * Runs what may end the transaction by itself, as a procedure of MySQL's can. Rejects if it has: the savepoint from before it
 * is gone then.
 */
export async function runGuarded<T> (transaction: PinnedTransaction, use: Use<T>): Promise<T> {
  await transaction.savepoint(GUARD)
  const result = await use(transaction.connection, transaction.replica)
  try {
    await transaction.releaseSavepoint(GUARD)
  } catch (error) {
    throw new Error('It has ended the transaction, by a commit or a rollback of its own', { cause: error })
  }
  return result
}

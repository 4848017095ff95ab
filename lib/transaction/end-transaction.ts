import type { SqlEntityManager } from '@mikro-orm/sql'
import type { DatabaseConnection, PinnedTransaction } from '../drivers/pinned-transaction.ts'
import { commitTracked, type DatabaseFreshness } from './freshness.ts'
import { observe } from './observed-statement.ts'
import type { TransactionOwner } from './transaction-owner.ts'

/** Whose transaction it is. */
interface Ending {
  readonly em: SqlEntityManager
  readonly owner: TransactionOwner
  readonly freshness: DatabaseFreshness
  readonly connection: DatabaseConnection | undefined
  readonly number: number
}

/** Commits. Rejects as MikroORM does, so that an error handler sees a deferred constraint fail just as it sees one that fails at once. */
export async function commitTransaction (ending: Ending, transaction: PinnedTransaction, hasWritten: boolean): Promise<void> {
  try {
    await tellOf('commit', ending, transaction, () => (
      hasWritten && ending.owner.tracksPositions ? commitTracked(transaction, ending.freshness) : transaction.commit()
    ))
  } catch (error) {
    if (transaction.isInDoubt) ending.owner.noteCommit() // it may be done
    ending.owner.noteRollback(transaction)
    throw ending.em.getDriver().convertException(error as Error)
  }
  if (hasWritten) ending.owner.noteCommit()
}

/** Rolls back. Never rejects: a connection on which that fails is given up. */
export async function rollBackTransaction (ending: Ending, transaction: PinnedTransaction): Promise<void> {
  ending.owner.noteRollback(transaction)
  try {
    await tellOf('rollback', ending, transaction, () => transaction.rollback())
  } catch (error) {
    ending.owner.report(error, `${ending.owner.name}: the rollback has failed, and the connection was given up`)
  }
}

async function tellOf (kind: 'commit' | 'rollback', ending: Ending, transaction: PinnedTransaction, end: () => Promise<unknown>): Promise<void> {
  const observed = observe(ending, kind, kind)
  observed?.start(transaction.connection, transaction.replica)
  try {
    await end()
    observed?.end()
  } catch (error) {
    observed?.end(error)
    throw error
  }
}

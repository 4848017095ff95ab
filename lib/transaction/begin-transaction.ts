import type { SqlEntityManager } from '@mikro-orm/sql'
import { acquireForTransaction, holdersAround } from '../drivers/connection-wait.ts'
import type { Driver } from '../drivers/driver.ts'
import type { PinnedTransaction, TransactionSettings } from '../drivers/pinned-transaction.ts'
import type { Replica } from '../drivers/replicas/replica.ts'
import type { Replicas } from '../drivers/replicas/replicas.ts'
import type { DatabaseFreshness } from './freshness.ts'
import type { ObservedStatement } from './observed-statement.ts'
import type { Statistics } from './statistics.ts'
import { warnOfReplica, type TransactionOwner } from './transaction-owner.ts'

/** Whose transaction it is. */
interface Beginning {
  readonly em: SqlEntityManager
  readonly driver: Driver
  readonly owner: TransactionOwner
  readonly replicas: Replicas | undefined
  readonly freshness: DatabaseFreshness
  readonly statistics: Statistics
  readonly streams: { readonly hasOneOutsideTransaction: boolean }
  /** Throws if it is too late for it. */
  assertWanted (): void
}

interface Begin {
  /** What comes next is a statement: see `BeginOptions`. */
  readonly withStatement: boolean
  readonly observed: ObservedStatement | undefined
}

/** Waits for a connection, and begins a transaction on it: where there is a replica for one that only reads, there. */
export async function beginTransaction (beginning: Beginning, settings: TransactionSettings, begin: Begin): Promise<PinnedTransaction> {
  const { em } = beginning
  const { sessionContext = em.getTransactionSessionContext() } = settings
  const all = { ...settings, sessionContext }
  try {
    return (beginning.replicas && await beginWithReplicas(beginning, beginning.replicas, all, begin)) ?? await beginOnPrimary(beginning, all, begin)
  } catch (error) {
    throw em.getDriver().convertException(error as Error)
  }
}

async function beginOnPrimary (beginning: Beginning, settings: TransactionSettings, { withStatement, observed }: Begin): Promise<PinnedTransaction> {
  const { driver, owner, streams } = beginning
  const endWait = beginning.statistics.wait()
  const around = holdersAround(owner, driver)
  try {
    return await acquireForTransaction(owner, streams.hasOneOutsideTransaction ? [owner, ...around] : around, driver, arrived => driver.begin(settings, {
      owner,
      arrived () {
        endWait()
        arrived()
        beginning.assertWanted()
        observed?.start(undefined)
      },
      withStatement,
      tracksPosition: owner.tracksPositions
    }))
  } finally {
    endWait()
  }
}

/** A standby of PostgreSQL's cannot serialize. `undefined` if there is no replica that has what the context has to see, and answers. */
async function beginWithReplicas (beginning: Beginning, replicas: Replicas, settings: TransactionSettings, begin: Begin): Promise<PinnedTransaction | undefined> {
  if (settings.readOnly !== true || settings.isolationLevel === 'serializable') return undefined
  const replica = await beginning.freshness.replicaIn(replicas)
  if (replica === undefined) return undefined
  try {
    return await beginOnReplica(beginning, replica, settings, begin)
  } catch (error) {
    if (!replica.isToBlame(error)) throw error
    warnOfReplica(beginning.owner, beginning.em.name, replica)
    beginning.freshness.needsPrimary = true
    return undefined
  }
}

async function beginOnReplica (beginning: Beginning, replica: Replica, settings: TransactionSettings, { observed }: Begin): Promise<PinnedTransaction> {
  const options = { owner: beginning.owner, withStatement: false, tracksPosition: false }
  const endWait = beginning.statistics.wait()
  let begun: Promise<PinnedTransaction> | undefined
  try {
    const transaction = await replica.begin(arrived => {
      begun = replica.driver.begin(settings, { ...options, arrived })
      return begun
    }, () => {
      endWait()
      beginning.assertWanted()
      observed?.start(undefined, replica)
    })
    transaction.replica = replica
    return transaction
  } catch (error) {
    begun?.then(late => late.rollback()).catch(() => {}) // of a server that goes on when nobody waits for it any more
    throw error
  } finally {
    endWait()
  }
}

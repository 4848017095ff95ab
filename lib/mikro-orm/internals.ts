import { TransactionContext, type EntityManager, type MikroORM } from '@mikro-orm/core'
import type { AbstractSqlDriver } from '@mikro-orm/sql'
import type { AsyncLocalStorage } from 'node:async_hooks'
import { requireMethods } from '../drivers/internals.ts'

/**
 * What is used of dependencies beyond what they promise to keep, for their next version may have it no more: that is to
 * be found when the plugin loads, and not in the midst of a commit.
 */

/** The owner, and which of its methods. */
type Used = readonly [owner: string, of: (orm: MikroORM) => object, methods: readonly string[]]

export const USED_OF_MIKRO_ORM: readonly Used[] = [
  ['EntityManager', orm => orm.em, ['getContext', 'getTransactionContext', 'setTransactionContext', 'resetTransactionContext', 'setSessionContext', 'clearSessionContext']],
  ['TransactionContext.storage', () => transactionStorage() ?? {}, ['run']],
  ['UnitOfWork', orm => orm.em.getUnitOfWork(false), [
    'getIdentityMap', 'getPersistStack', 'getRemoveStack', 'getOrphanRemoveStack', 'getChangeSets', 'getCollectionUpdates', 'getExtraUpdates',
    'computeChangeSets', 'postCommitCleanup', 'persist', 'remove', 'clear'
  ]],
  ['EntityComparator', orm => orm.em.getComparator(), ['matching', 'prepareEntity']],
  ['AbstractSqlPlatform', orm => orm.em.getPlatform(), [
    'supportsRowLevelSecurity', 'usesDefaultKeyword', 'supportsUnsigned', 'getBeginTransactionSQL', 'getCommitTransactionSQL', 'getRollbackTransactionSQL',
    'getSavepointSQL', 'getReleaseSavepointSQL', 'getRollbackToSavepointSQL'
  ]],
  ['AbstractSqlConnection', orm => orm.driver.getConnection('write'), [
    'ensureConnection', 'getClient', 'execute', 'stream', 'executeDump', 'transactional', 'logQuery', 'applySessionContext'
  ]]
]

/** Throws `FST_ORM_UNSUPPORTED` if that version of MikroORM lacks what is used of it. */
export function checkMikroOrm (orm: MikroORM): void {
  for (const [owner, of, methods] of USED_OF_MIKRO_ORM) requireMethods(owner, of(orm), methods)
}

/**
 * Runs `callback` in no transaction of MikroORM's. `TransactionContext` has no public way out: one of another EntityManager hides
 * those around it in 7.2.1, and no longer does in 7.2.5.
 */
export function outsideTransactions<T> (callback: () => T): T {
  return transactionStorage().run(undefined, callback)
}

function transactionStorage (): AsyncLocalStorage<TransactionContext | undefined> {
  return (TransactionContext as unknown as { storage: AsyncLocalStorage<TransactionContext | undefined> }).storage
}

/** Forks an EntityManager for another driver: what it is made of asks for the driver while it is being made. */
export function forkWith (driver: AbstractSqlDriver, em: EntityManager, fork: () => EntityManager = () => em.fork({ disableContextResolution: true })): EntityManager {
  const internals = em as unknown as { driver: AbstractSqlDriver }
  const own = internals.driver
  internals.driver = driver
  try {
    return fork()
  } finally {
    internals.driver = own
  }
}

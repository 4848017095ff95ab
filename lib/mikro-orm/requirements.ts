import { Utils, type MikroORM } from '@mikro-orm/core'
import { FST_ORM_UNSUPPORTED } from '../errors.ts'

/**
 * What is used of dependencies beyond what they promise to keep, for their next version may have it no more: that is to
 * be found when the plugin loads, and not in the midst of a commit.
 */

/** The owner, and which of its methods. */
type Used = readonly [owner: string, of: (orm: MikroORM) => object, methods: readonly string[]]

const USED_OF_MIKRO_ORM: readonly Used[] = [
  ['EntityManager', orm => orm.em, ['getContext', 'getTransactionContext', 'setTransactionContext', 'resetTransactionContext', 'setSessionContext', 'clearSessionContext']],
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

const USED_OF_KYSELY = ['startTransaction', 'connection', 'getExecutor', 'executeQuery'] as const
const USED_OF_EXECUTOR = ['withConnectionProvider', 'provideConnection', 'stream'] as const

/** Throws `FST_ORM_UNSUPPORTED` if that version of MikroORM lacks what is used of it. */
export function checkMikroOrm (orm: MikroORM): void {
  for (const [owner, of, methods] of USED_OF_MIKRO_ORM) requireMethods(owner, of(orm), methods)
}

/** The same for the Kysely of that version, which some drivers make only when they connect. */
export function checkKysely (client: { getExecutor (): object }): void {
  requireMethods('Kysely', client, USED_OF_KYSELY)
  requireMethods("Kysely's QueryExecutor", client.getExecutor(), USED_OF_EXECUTOR)
}

function requireMethods (owner: string, object: object, methods: readonly string[]): void {
  for (const method of methods) {
    if (typeof Reflect.get(object, method) === 'function') continue
    throw new FST_ORM_UNSUPPORTED(`${owner}.${method}()`, `MikroORM ${Utils.getORMVersion()}`)
  }
}

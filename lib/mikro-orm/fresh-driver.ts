import type { EntityManager } from '@mikro-orm/core'
import type { AbstractSqlConnection, AbstractSqlDriver } from '@mikro-orm/sql'
import { realDriver, STANDS_FOR } from '../drivers/replicas/internals.ts'
import type { Replicas } from '../drivers/replicas/replicas.ts'
import { UNKNOWN_POSITION } from '../drivers/replication.ts'
import type { DatabaseFreshness } from '../transaction/freshness.ts'
import { forkWith } from './internals.ts'

interface Following {
  readonly freshness: DatabaseFreshness
  readonly replicas: Replicas | undefined
  readonly options: { readonly replica?: boolean | undefined }
  readonly owner: {
    /** Whether commits are to say where they are. */
    readonly tracksPositions: boolean
    noteCommit (): void
  }
}

/**
 * The driver of an EntityManager whose statements MikroORM 7.2.1 runs by itself, each on a connection that it asks the driver for: with
 * `transaction: false`, or inside `NOT_SUPPORTED`. It asks for that of the primary when it is going to write, or may be.
 */
export function freshDriver (driver: AbstractSqlDriver, following: () => Following | undefined): AbstractSqlDriver {
  const getConnection = (type: 'read' | 'write' = 'write'): AbstractSqlConnection => {
    const followed = following()
    if (followed === undefined) return driver.getConnection(type)
    const { freshness, replicas, options, owner } = followed
    if (type === 'read' && !freshness.needsPrimary && options.replica !== false) {
      return replicas === undefined ? driver.getConnection('read') : freshness.replicaAtOnce(replicas)?.connection ?? driver.getConnection('write')
    }
    if (type === 'write') {
      freshness.noteWrite()
      owner.noteCommit() // each statement by itself, and also if what follows fails
      if (owner.tracksPositions && freshness.committed !== UNKNOWN_POSITION) freshness.noteCommit()
    }
    return driver.getConnection('write')
  }
  return Object.create(driver, { getConnection: { value: getConnection }, [STANDS_FOR]: { value: realDriver(driver) } })
}

/** Has the fork that an `em.transactional()` makes synchronously use that driver. */
export function withForksOn<T> (em: EntityManager, driver: AbstractSqlDriver, transactional: () => T): T {
  const { fork } = Object.getPrototypeOf(em) as EntityManager
  em.fork = options => forkWith(driver, em, () => fork.call(em, options)) as typeof em
  try {
    return transactional()
  } finally {
    Reflect.deleteProperty(em, 'fork')
  }
}

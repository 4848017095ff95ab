import { LockMode, type MikroORM } from '@mikro-orm/core'
import type { AbstractSqlPlatform } from '@mikro-orm/sql'
import { isRead } from '../sql/statement.ts'

type NativeQueryBuilder = ReturnType<AbstractSqlPlatform['createNativeQueryBuilder']>

/** What MikroORM 7.2.1 does not publish of its query builders. */
interface Internals {
  readonly options: { lockMode?: LockMode }
  readonly parts: string[]
  addLockClause (): void
}

/**
 * A lock lasts as long as a transaction, so a select that locks is no read. SQLite has no words for that, and MikroORM
 * leaves them away there: the select would look like any other. So it says it in a comment, of the kind that MySQL executes,
 * and that is therefore never part of a read.
 *
 * Every way to lock (`find()`, `em.lock()`, loading a collection, a query builder and its clones) comes to the platform for
 * its SQL. Returns what undoes it.
 */
export function giveLocksWords (orm: MikroORM): () => void {
  const platform = orm.config.getPlatform() as AbstractSqlPlatform
  if (hasWordsForLocks(platform)) return () => {}
  const { createNativeQueryBuilder } = platform
  platform.createNativeQueryBuilder = () => Object.assign(createNativeQueryBuilder.call(platform), { addLockClause })
  return () => { Reflect.deleteProperty(platform, 'createNativeQueryBuilder') }
}

/** Shared by all query builders, so that none of them costs a closure. */
function addLockClause (this: NativeQueryBuilder & Internals): void {
  const inherited = Object.getPrototypeOf(this) as Internals
  inherited.addLockClause.call(this)
  if (PESSIMISTIC.some(mode => mode === this.options.lockMode)) this.parts.push('/*! for update */')
}

const PESSIMISTIC = [
  LockMode.PESSIMISTIC_READ, LockMode.PESSIMISTIC_WRITE, LockMode.PESSIMISTIC_PARTIAL_READ, LockMode.PESSIMISTIC_PARTIAL_WRITE,
  LockMode.PESSIMISTIC_READ_OR_FAIL, LockMode.PESSIMISTIC_WRITE_OR_FAIL
]

/** Or there are some modes, as in SQL Server, that it has none for. */
function hasWordsForLocks (platform: AbstractSqlPlatform): boolean {
  return PESSIMISTIC.every(mode => !isRead(platform.createNativeQueryBuilder().select('*').from('t').lockMode(mode).compile().sql))
}

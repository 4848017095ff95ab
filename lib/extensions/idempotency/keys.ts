import { DeadlockException, DriverException, LockMode, LockWaitTimeoutException, raw, type Platform } from '@mikro-orm/core'
import type { SqlEntityManager } from '@mikro-orm/sql'
import { context, em, type DatabaseName } from '../../../index.ts'
import { MAX_TIMER_MS } from '../../util/max-timer.ts'
import { isMariadb, isMysql, isPostgres } from './dialects.ts'
import { IdempotencyKey, type IdempotencyKeyRow } from './entity.ts'

export type KeyRow = IdempotencyKeyRow
/** A key before its reply. */
export type NewKey = Pick<KeyRow, 'id' | 'fingerprint' | 'claim' | 'expiresAt'>
/** What is stored of a reply. */
export type KeptReply = Pick<KeyRow, 'status' | 'headers' | 'body'>

/** The table of keys, as the current context sees and changes it: in its transaction, beside the work. */
export class Keys {
  readonly #database: DatabaseName | undefined

  constructor (database: DatabaseName | undefined) {
    this.#database = database
  }

  /** What is written commits and rolls back with the rest of the context. */
  get isTransactional (): boolean {
    return this.#em.isInTransaction()
  }

  /** A rollback might take along what hooks have written, or have changed in an entity and not flushed yet. */
  get hasWork (): boolean {
    const unitOfWork = this.#em.getUnitOfWork()
    return context().writes > 0 || unitOfWork.getPersistStack().size > 0 || unitOfWork.getIdentityMap().values().length > 0
  }

  /**
   * Inserts the key, unless it is there already. While another transaction has inserted it and has not ended, the database waits:
   * for `wait` milliseconds at most, on MariaDB and MySQL rounded up to seconds.
   */
  async insert (key: NewKey, wait: number): Promise<boolean> {
    const em = this.#em
    const signal = cannotBeBounded(em.getPlatform()) ? AbortSignal.timeout(inWholeSeconds(wait)) : undefined
    try {
      const { affectedRows } = await em.execute<{ affectedRows: number }>(insertion(em, key, wait), [], {
        method: 'run', ...signal && { signal, inflightQueryAbortStrategy: 'cancel query' }
      })
      return affectedRows === 1
    } catch (error) {
      throw signal?.aborted === true ? new LockWaitTimeoutException(error as Error) : error
    }
  }

  /** As it is now, whatever the snapshot of the transaction says. */
  async find (id: string): Promise<KeyRow | undefined> {
    const em = this.#em
    const platform = em.getPlatform()
    const lockMode = isMysql(platform) ? LockMode.PESSIMISTIC_READ : undefined
    return await em.findOne(IdempotencyKey, { id }, { disableIdentityMap: true, filters: false, connectionType: 'write', lockMode }) ?? undefined
  }

  /** For a key that was there: what follows in the transaction waits for others as it would have. */
  async endWait (): Promise<void> {
    const em = this.#em
    if (isPostgres(em.getPlatform())) await em.execute(RESTORE_TIMEOUT)
  }

  /** After a rollback: as it was committed last. */
  async findCommitted (id: string): Promise<KeyRow | undefined> {
    return await this.#em.findOne(IdempotencyKey, { id }, { disableIdentityMap: true, filters: false, connectionType: 'write' }) ?? undefined
  }

  /** Takes over a key that is too old; `false` if somebody else has. */
  async takeOver ({ id, claim }: KeyRow, key: NewKey): Promise<boolean> {
    return await this.#em.nativeUpdate(IdempotencyKey, { id, claim }, { ...key, ...NO_REPLY }, { filters: false }) === 1
  }

  /** Stores the reply beside the key; `false` if that has gone. */
  async keep ({ id, claim }: NewKey, reply: KeptReply): Promise<boolean> {
    return await this.#em.nativeUpdate(IdempotencyKey, { id, claim }, reply, { filters: false }) === 1
  }

  /** Inserts the key with its reply. */
  async insertKept (key: NewKey, reply: KeptReply): Promise<void> {
    await this.#em.insert(IdempotencyKey, { ...key, ...reply })
  }

  get #em (): SqlEntityManager {
    return (this.#database === undefined ? em() : em(this.#database)) as SqlEntityManager
  }
}

/** Of a query builder that executes it by itself, MikroORM 7.2 makes no exceptions of what the driver throws. */
function insertion (em: SqlEntityManager, key: NewKey, wait: number): string {
  const platform = em.getPlatform()
  const insert = (row: any): any => em.createQueryBuilder(IdempotencyKey).insert(row).onConflict('id').ignore()
  if (isPostgres(platform)) {
    const id = raw(ID_AFTER_TIMEOUT, [`${Math.max(1, Math.ceil(wait))}ms`, key.id])
    return insert({ ...key, id }).returning([raw(TIMEOUT_BEFORE)]).getFormattedQuery()
  }
  const sql: string = insert(key).getFormattedQuery()
  return isMariadb(platform) ? `set statement innodb_lock_wait_timeout=${Math.ceil(wait / 1000)} for ${sql}` : sql
}

/**
 * MySQL's `innodb_lock_wait_timeout` is set for a session, not for a statement, and a session whose statement has failed is sent nothing
 * that would set it back. So the client has to cancel what takes too long.
 */
function cannotBeBounded (platform: Platform): boolean {
  return isMysql(platform) && !isMariadb(platform)
}

/** At least one: the time of the round trip is in it. */
function inWholeSeconds (wait: number): number {
  return Math.min(Math.max(1, Math.ceil(wait / 1000)) * 1000, MAX_TIMER_MS)
}

/** Another transaction has the key, and has not ended within the time that was to be waited. */
export function isLockTimeout (error: unknown): boolean {
  return error instanceof LockWaitTimeoutException || (error instanceof DriverException && (error as { code?: unknown }).code === LOCK_NOT_AVAILABLE)
}

/** Another transaction has ended meanwhile that this one does not see: a deadlock, or a serialization failure. */
export function isOvertaken (error: unknown): boolean {
  return error instanceof DeadlockException
}

const LOCK_NOT_AVAILABLE = '55P03'
const NO_REPLY: KeptReply = { status: null, headers: null, body: null }

/**
 * PostgreSQL's `lock_timeout` is set and set back by the statement itself, in one round trip: before the row is inserted, by what
 * makes its id; and when it is inserted, by what the statement returns. What was set before is kept meanwhile.
 */
const TIMEOUT = "'lock_timeout'"
const KEPT = "'fastify_context_orm.lock_timeout'"
const KEEP = `set_config(${KEPT}, current_setting(${TIMEOUT}), true)`
const ID_AFTER_TIMEOUT = `case when set_config(${TIMEOUT}, ?, ${KEEP} is not null) is not null then ? end`
const TIMEOUT_BEFORE = `set_config(${TIMEOUT}, current_setting(${KEPT}), true) as timeout`
const RESTORE_TIMEOUT = `select set_config(${TIMEOUT}, current_setting(${KEPT}), true)`

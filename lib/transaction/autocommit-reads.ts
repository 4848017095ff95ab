import type { AbstractSqlConnection, SqlEntityManager } from '@mikro-orm/sql'
import { acquireConnection, holdersAround } from './connection-wait.ts'
import { keepUntilLost } from '../drivers/dying-connection.ts'
import { PgConnection } from '../drivers/postgresql/pg-connection.ts'
import { findPgPool, pgPoolOf, type PgPool } from '../drivers/postgresql/internals.ts'
import type { Result, Use } from '../drivers/pinned-transaction.ts'
import type { RunningStatements } from './running-statements.ts'
import type { TransactionOwner } from './transaction-owner.ts'

/** Reads outside of the transaction, each on whatever connection the pool has free. */
export class AutocommitReads {
  readonly #em: SqlEntityManager
  readonly #write: AbstractSqlConnection
  readonly #prefersReplicas: boolean
  readonly #owner: TransactionOwner
  readonly #statements: RunningStatements
  readonly #endedError: (sql: string) => Error
  /** As on SQLite, where a stream that is open is in the way of everything else. */
  readonly hasSingleConnection: boolean
  #pending = 0
  #done: PromiseWithResolvers<void> | undefined

  constructor (em: SqlEntityManager, owner: TransactionOwner, statements: RunningStatements, endedError: (sql: string) => Error) {
    this.#em = em
    this.#write = em.getConnection('write')
    this.#prefersReplicas = em.config.get('preferReadReplicas') && (em.config.get('replicas')?.length ?? 0) > 0
    this.hasSingleConnection = !this.#write.getClient().getExecutor().adapter.supportsMultipleConnections
    this.#owner = owner
    this.#statements = statements
    this.#endedError = endedError
  }

  /** Resolves when none is running or waits for a connection; `undefined` if none does. */
  get done (): Promise<void> | undefined {
    if (this.#pending === 0) return undefined
    this.#done ??= Promise.withResolvers()
    return this.#done.promise
  }

  /** Executes one, on a connection of pg's own where that is the driver. */
  execute (sql: string, use: Use<Result>): Promise<Result> {
    const pool = this.#prefersReplicas ? null : pgPoolOf(this.#write) // a replica may have hooks of its own
    if (pool === undefined) return this.#executeFirst(sql, use)
    return pool === null ? this.run(sql, use) : this.#executeOnPg(pool, sql, use)
  }

  async #executeFirst (sql: string, use: Use<Result>): Promise<Result> {
    this.#pending++
    try {
      await findPgPool(this.#em, this.#write)
      return await this.execute(sql, use)
    } finally {
      this.#end()
    }
  }

  async #executeOnPg (pool: PgPool, sql: string, use: Use<Result>): Promise<Result> {
    const assertWanted = this.#watch(sql)
    this.#pending++
    try {
      return await acquireConnection(this.#owner, holdersAround(this.#owner, this.#write), this.#em, async arrived => {
        // as a promise: pg-pool 3.14 calls back in the async context of whoever has given the connection back
        const connection = new PgConnection(pool, await pool.connect())
        try {
          arrived()
          assertWanted()
          return await this.#statements.run(connection, use)
        } finally {
          const released = connection.release()
          if (released !== undefined) await released
        }
      })
    } finally {
      this.#end()
    }
  }

  /** Lends a connection of Kysely's to a read. */
  async run<T> (sql: string, use: Use<T>): Promise<T> {
    const pool = this.#pool
    const assertWanted = this.#watch(sql)
    const holders = pool === this.#write ? holdersAround(this.#owner, pool) : []
    this.#pending++
    try {
      const client = pool.getClient()
      return await acquireConnection(this.#owner, holders, this.#em, arrived => (
        client.getExecutor().provideConnection(async connection => {
          arrived()
          assertWanted()
          try {
            return await this.#statements.run(connection, use)
          } catch (error) {
            await keepUntilLost(error, client, connection)
            throw error
          }
        })
      ))
    } finally {
      this.#end()
    }
  }

  /** Nobody waits for the answer any more if the client has left since. (What asks after that may have a reason.) */
  #watch (sql: string): () => void {
    const { isAborted } = this.#owner
    return () => { if (!isAborted && this.#owner.isAborted) throw this.#endedError(sql) }
  }

  #end (): void {
    this.#pending--
    if (this.#pending > 0) return
    this.#done?.resolve()
    this.#done = undefined
  }

  /** A read replica if there is one and MikroORM's `preferReadReplicas` says so. */
  get #pool (): AbstractSqlConnection {
    return this.#prefersReplicas ? this.#em.getConnection('read') : this.#write
  }
}

import type { AbstractSqlConnection, SqlEntityManager } from '@mikro-orm/sql'
import { acquireConnection, holdersAround } from './connection-wait.ts'
import { keepUntilLost } from './dying-connection.ts'
import type { PgPool } from './pg-driver.ts'
import { findPoolForReads, poolForReads, readOnPg } from './pg-reads.ts'
import type { DatabaseConnection, Query, Result } from './pinned-transaction.ts'
import type { RunningStatements } from './running-statements.ts'
import type { TransactionOwner } from './transaction-owner.ts'

/** Reads outside of the transaction, each on whatever connection the pool has free. */
export class AutocommitReads {
  readonly #em: SqlEntityManager
  readonly #write: AbstractSqlConnection
  readonly #prefersReplicas: boolean
  readonly #owner: TransactionOwner
  readonly #statements: RunningStatements
  /** As on SQLite, where a stream that is open is in the way of everything else. */
  readonly hasSingleConnection: boolean
  #pending = 0
  #done: PromiseWithResolvers<void> | undefined

  constructor (em: SqlEntityManager, owner: TransactionOwner, statements: RunningStatements) {
    this.#em = em
    this.#write = em.getConnection('write')
    this.#prefersReplicas = em.config.get('preferReadReplicas') && (em.config.get('replicas')?.length ?? 0) > 0
    this.hasSingleConnection = !this.#write.getClient().getExecutor().adapter.supportsMultipleConnections
    this.#owner = owner
    this.#statements = statements
  }

  /** Resolves when none is running or waits for a connection; `undefined` if none does. */
  get done (): Promise<void> | undefined {
    if (this.#pending === 0) return undefined
    this.#done ??= Promise.withResolvers()
    return this.#done.promise
  }

  /** Executes one without a signal: those that have one are cancelled by Kysely. */
  execute (query: Query): Promise<Result> {
    const pool = this.#prefersReplicas ? null : poolForReads(this.#write) // a replica may have hooks of its own
    if (pool === undefined) return this.#executeFirst(query)
    // who waits for a context around is watched by `acquireConnection()`
    if (pool === null || holdersAround(this.#owner, this.#write).length > 0) return this.#executeOnKysely(query)
    return this.#executeOnPg(query, pool)
  }

  #executeOnKysely (query: Query): Promise<Result> {
    return this.run(connection => connection.executeQuery(query))
  }

  /** On Kysely, which closes the pool only if it has been asked for a connection (0.29.6). */
  async #executeFirst (query: Query): Promise<Result> {
    const result = await this.#executeOnKysely(query)
    await findPoolForReads(this.#em, this.#write)
    return result
  }

  async #executeOnPg (query: Query, pool: PgPool): Promise<Result> {
    this.#pending++
    try {
      return await readOnPg(pool, query, this.#statements)
    } finally {
      this.#end()
    }
  }

  /** Lends a connection of Kysely's to a read. */
  async run<T> (use: (connection: DatabaseConnection) => Promise<T>): Promise<T> {
    const pool = this.#pool
    const holders = pool === this.#write ? holdersAround(this.#owner, pool) : []
    this.#pending++
    try {
      const client = pool.getClient()
      return await acquireConnection(this.#owner, holders, this.#em, arrived => (
        client.getExecutor().provideConnection(async connection => {
          arrived()
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

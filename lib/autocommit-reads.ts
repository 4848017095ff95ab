import type { AbstractSqlConnection, SqlEntityManager } from '@mikro-orm/sql'
import { acquireConnection, holdersAround } from './connection-wait.ts'
import { keepUntilLost } from './dying-connection.ts'
import type { DatabaseConnection } from './pinned-transaction.ts'
import type { RunningStatements } from './running-statements.ts'
import type { TransactionOwner } from './transaction-owner.ts'

/** Reads outside of the transaction, each on whatever connection the pool has free. */
export class AutocommitReads {
  readonly #em: SqlEntityManager
  readonly #write: AbstractSqlConnection
  readonly #prefersReplicas: boolean
  readonly #owner: TransactionOwner
  readonly #statements: RunningStatements
  #pending = 0
  #done: PromiseWithResolvers<void> | undefined

  constructor (em: SqlEntityManager, owner: TransactionOwner, statements: RunningStatements) {
    this.#em = em
    this.#write = em.getConnection('write')
    this.#prefersReplicas = em.config.get('preferReadReplicas')
    this.#owner = owner
    this.#statements = statements
  }

  /** On SQLite, a stream that is open is in the way of everything else. */
  get hasSingleConnection (): boolean {
    return !this.#pool.getClient().getExecutor().adapter.supportsMultipleConnections
  }

  /** Resolves when none is running or waits for a connection; `undefined` if none does. */
  get done (): Promise<void> | undefined {
    if (this.#pending === 0) return undefined
    this.#done ??= Promise.withResolvers()
    return this.#done.promise
  }

  async run<T> (use: (connection: DatabaseConnection) => Promise<T>): Promise<T> {
    const pool = this.#pool
    const holders = pool === this.#write ? holdersAround(this.#owner, pool) : []
    this.#pending++
    try {
      return await acquireConnection(this.#owner, holders, this.#em, arrived => (
        pool.getClient().getExecutor().provideConnection(async connection => {
          arrived()
          try {
            return await this.#statements.run(connection, use)
          } catch (error) {
            await keepUntilLost(error, pool.getClient(), connection)
            throw error
          }
        })
      ))
    } finally {
      this.#pending--
      if (this.#pending === 0) {
        this.#done?.resolve()
        this.#done = undefined
      }
    }
  }

  /** A read replica if there is one and MikroORM's `preferReadReplicas` says so. */
  get #pool (): AbstractSqlConnection {
    return this.#prefersReplicas ? this.#em.getConnection('read') : this.#write
  }
}

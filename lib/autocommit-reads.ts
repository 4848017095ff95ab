import type { AbstractSqlConnection, SqlEntityManager } from '@mikro-orm/sql'
import { acquireConnection, holdersAround } from './connection-wait.ts'
import { keepUntilLost } from './dying-connection.ts'
import type { DatabaseConnection } from './pinned-transaction.ts'
import type { RunningStatements } from './running-statements.ts'
import type { TransactionOwner } from './transaction-owner.ts'

/** Reads outside of the transaction, each on whatever connection the pool has free. */
export class AutocommitReads {
  readonly #em: SqlEntityManager
  readonly #owner: TransactionOwner
  readonly #statements: RunningStatements
  readonly #pending = new Set<Promise<unknown>>()

  constructor (em: SqlEntityManager, owner: TransactionOwner, statements: RunningStatements) {
    this.#em = em
    this.#owner = owner
    this.#statements = statements
  }

  /** On SQLite, a stream that is open is in the way of everything else. */
  get hasSingleConnection (): boolean {
    return !this.#pool.getClient().getExecutor().adapter.supportsMultipleConnections
  }

  /** Settled when the present ones are done, also those that wait for a connection; `undefined` if there are none. */
  get done (): Promise<unknown> | undefined {
    return this.#pending.size === 0 ? undefined : Promise.allSettled(this.#pending)
  }

  run<T> (use: (connection: DatabaseConnection) => Promise<T>): Promise<T> {
    const pool = this.#pool
    const holders = pool === this.#em.getConnection('write') ? holdersAround(this.#owner, pool) : []
    const read = acquireConnection(this.#owner, holders, this.#em, arrived => (
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
    const forget = (): void => { this.#pending.delete(read) }
    this.#pending.add(read)
    read.then(forget, forget)
    return read
  }

  /** A read replica if there is one and MikroORM's `preferReadReplicas` says so. */
  get #pool (): AbstractSqlConnection {
    return this.#em.getConnection(this.#em.config.get('preferReadReplicas') ? 'read' : 'write')
  }
}

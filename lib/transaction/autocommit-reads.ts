import type { AbstractSqlConnection, SqlEntityManager } from '@mikro-orm/sql'
import { acquireConnection, holdersAround } from '../drivers/connection-wait.ts'
import type { Driver } from '../drivers/driver.ts'
import { lendConnection } from '../drivers/kysely/connections.ts'
import type { DatabaseConnection, Result, Use } from '../drivers/pinned-transaction.ts'
import type { RunningStatements } from './running-statements.ts'
import type { TransactionOwner } from './transaction-owner.ts'

/** Gets a connection for `use`, and calls `arrived` before. */
type Lend<T> = (use: Use<T>, arrived: () => void) => Promise<T>

/** Reads outside of the transaction, each on whatever connection the pool has free. */
export class AutocommitReads {
  readonly #em: SqlEntityManager
  readonly #driver: Driver
  readonly #prefersReplicas: boolean
  readonly #owner: TransactionOwner
  readonly #statements: RunningStatements
  readonly #endedError: (sql: string) => Error
  #pending = 0
  #done: PromiseWithResolvers<void> | undefined

  constructor (em: SqlEntityManager, driver: Driver, owner: TransactionOwner, statements: RunningStatements, endedError: (sql: string) => Error) {
    this.#em = em
    this.#driver = driver
    this.#prefersReplicas = em.config.get('preferReadReplicas') && (em.config.get('replicas')?.length ?? 0) > 0
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

  /** Executes one. */
  execute (sql: string, use: Use<Result>): Promise<Result> {
    return this.#run(sql, use, (use, arrived) => this.#driver.read(use, arrived))
  }

  /** Lends a connection to one that needs it for longer, or wants one of Kysely's. */
  run<T> (sql: string, use: Use<T>): Promise<T> {
    return this.#run(sql, use, (use, arrived) => this.#driver.lend(use, arrived))
  }

  async #run<T> (sql: string, use: Use<T>, lend: Lend<T>): Promise<T> {
    const replica = this.#replica
    const holders = replica === undefined ? holdersAround(this.#owner, this.#driver) : []
    const assertWanted = this.#watch(sql)
    const run = (connection: DatabaseConnection): Promise<T> => this.#statements.run(connection, use)
    this.#pending++
    try {
      return await acquireConnection(this.#owner, holders, this.#driver, arrived => {
        const onArrival = (): void => {
          arrived()
          assertWanted()
        }
        return replica === undefined ? lend(run, onArrival) : lendConnection(replica.getClient(), run, onArrival)
      })
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

  /** If there is one, and MikroORM's `preferReadReplicas` says so. */
  get #replica (): AbstractSqlConnection | undefined {
    if (!this.#prefersReplicas) return undefined
    const replica: AbstractSqlConnection = this.#em.getConnection('read')
    return replica === this.#em.getConnection('write') ? undefined : replica // as in a sandbox
  }
}

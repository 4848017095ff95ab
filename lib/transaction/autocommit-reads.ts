import type { SqlEntityManager } from '@mikro-orm/sql'
import { acquireConnection, holdersAround } from '../drivers/connection-wait.ts'
import type { Driver } from '../drivers/driver.ts'
import type { Result, Use } from '../drivers/pinned-transaction.ts'
import type { LendOn } from '../drivers/replicas/replica.ts'
import type { Replicas } from '../drivers/replicas/replicas.ts'
import { noteServer } from '../drivers/replicas/served-by.ts'
import type { RunningStatements } from './running-statements.ts'
import type { Statistics } from './statistics.ts'
import { warnOfReplica, type TransactionOwner } from './transaction-owner.ts'

/** Reads outside of the transaction, each on whatever connection the pool has free. */
export class AutocommitReads {
  readonly #em: SqlEntityManager
  readonly #driver: Driver
  readonly #replicas: Replicas | undefined
  readonly #owner: TransactionOwner
  readonly #statements: RunningStatements
  readonly #statistics: Statistics
  readonly #endedError: (sql: string) => Error
  #pending = 0
  #done: PromiseWithResolvers<void> | undefined

  constructor (
    em: SqlEntityManager, driver: Driver, replicas: Replicas | undefined, owner: TransactionOwner, statements: RunningStatements, statistics: Statistics,
    endedError: (sql: string) => Error
  ) {
    this.#em = em
    this.#driver = driver
    this.#replicas = replicas
    this.#owner = owner
    this.#statements = statements
    this.#statistics = statistics
    this.#endedError = endedError
  }

  /** One is running, or waits for a connection. */
  get areRunning (): boolean {
    return this.#pending > 0
  }

  /** Resolves when none is running or waits for a connection; `undefined` if none does. */
  get done (): Promise<void> | undefined {
    if (this.#pending === 0) return undefined
    this.#done ??= Promise.withResolvers()
    return this.#done.promise
  }

  /** Executes one. */
  execute (sql: string, use: Use<Result>): Promise<Result> {
    return this.#run(sql, use, READ, true)
  }

  /** Lends a connection to one that needs it for longer, or wants one of Kysely's. */
  run<T> (sql: string, use: Use<T>): Promise<T> {
    return this.#run(sql, use, LEND, true)
  }

  /** Runs what is no read, and commits by itself: on the primary. */
  runOnPrimary<T> (sql: string, use: Use<T>): Promise<T> {
    return this.#run(sql, use, LEND, false)
  }

  async #run<T> (sql: string, use: Use<T>, lend: LendOn<T>, mayBeOnReplica: boolean): Promise<T> {
    const assertWanted = this.#watch(sql)
    this.#pending++
    try {
      if (mayBeOnReplica && this.#replicas !== undefined) return await this.#runOnReplica(this.#replicas, use, lend, assertWanted)
      return await this.#runOnPrimary(use, lend, assertWanted)
    } finally {
      this.#end()
    }
  }

  async #runOnPrimary<T> (use: Use<T>, lend: LendOn<T>, assertWanted: () => void): Promise<T> {
    const endWait = this.#statistics.wait()
    try {
      return await acquireConnection(this.#owner, holdersAround(this.#owner, this.#driver), this.#driver, arrived => (
        lend(this.#driver, connection => this.#statements.run(connection, use), () => {
          endWait()
          arrived()
          assertWanted()
        })
      ))
    } finally {
      endWait()
    }
  }

  /** Where there is one that has what the context has to see, and it answers; otherwise on the primary. */
  async #runOnReplica<T> (replicas: Replicas, use: Use<T>, lend: LendOn<T>, assertWanted: () => void): Promise<T> {
    const freshness = this.#owner.freshness.of(this.#driver, this.#em.name)
    const choice = freshness.replicaIn(replicas)
    const replica = choice instanceof Promise ? await choice : choice
    if (replica === undefined) return await this.#runOnPrimary(use, lend, assertWanted)
    let isUsed = false
    const useOnce: Use<T> = connection => {
      isUsed = lend === LEND // whoever was lent a connection has it, and cannot be lent another one
      return use(connection, replica)
    }
    const endWait = this.#statistics.wait()
    const arrived = (): void => {
      endWait()
      assertWanted()
    }
    noteServer(replica.connection)
    try {
      return await replica.read(lend, useOnce, arrived, (connection, use) => this.#statements.run(connection, use, replica))
    } catch (error) {
      if (!replica.isToBlame(error) || isUsed) throw error
      warnOfReplica(this.#owner, this.#em.name, replica)
    } finally {
      endWait()
    }
    noteServer(undefined)
    freshness.needsPrimary = true
    return await this.#runOnPrimary(use, lend, assertWanted)
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
}

const READ: LendOn<any> = (driver, use, arrived) => driver.read(use, arrived)
const LEND: LendOn<any> = (driver, use, arrived) => driver.lend(use, arrived)

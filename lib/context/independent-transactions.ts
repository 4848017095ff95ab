import type { EntityManager } from '@mikro-orm/core'
import type { AbstractSqlDriver, SqlEntityManager } from '@mikro-orm/sql'
import { acquireForTransaction, holdersAround, type ConnectionUser } from '../drivers/connection-wait.ts'
import type { Driver } from '../drivers/driver.ts'
import { freshDriver, withForksOn } from '../mikro-orm/fresh-driver.ts'
import type { Independent } from '../mikro-orm/entity-manager-scope.ts'
import type { DeferredTransaction } from '../transaction/deferred-transaction.ts'
import { runIndependently } from '../transaction/independent-transaction.ts'
import { ownerOfIndependent, type TransactionOwner } from '../transaction/transaction-owner.ts'
import { hooksOfIndependentTransaction, runWithInnerHooks, runWithOwnHooks } from './independent-hooks.ts'

interface Scope {
  readonly em: SqlEntityManager
  readonly owner: TransactionOwner
  readonly transaction: DeferredTransaction
  connectionsOf (driver: Driver): number
}

/** What runs beside the transaction of a scope: every `em.transactional()` that begins another one, or has none. */
export class IndependentTransactions {
  readonly #scope: Scope
  readonly #owner: TransactionOwner
  /** Those that have begun. Each has its own connection. */
  readonly #open = new Set<DeferredTransaction>()

  constructor (scope: Scope) {
    this.#scope = scope
    this.#owner = scope.owner
  }

  /** How many they hold. */
  get connections (): number {
    let count = 0
    for (const { connection } of this.#open) if (connection !== undefined) count++
    return count
  }

  /** Cancels the statements that are running, where the database can. Resolves when they are done. */
  async cancel (): Promise<void> {
    for (const transaction of this.#open) transaction.cancel()
    await Promise.all(Array.from(this.#open, ({ running }) => running))
  }

  /** Runs one that `begins` a transaction, or has none. Rejects where that would have to wait for the context's own connection. */
  async run<T> (em: EntityManager, begins: boolean, transactional: Independent<T>): Promise<T> {
    return await runWithOwnHooks(this.#owner, withHooks => (
      begins
        ? runIndependently(em, ownerOfIndependent(this.#owner), this.#note, () => transactional(withHooks))
        : this.#runWithoutTransaction(em, callback => transactional(run => callback(() => withHooks(run))))
    ), this.#reportHook)
  }

  /** Runs an `em.transactional()` inside the transaction that the caller is in. */
  async runNested<T> (transactional: () => Promise<T>): Promise<T> {
    const outer = hooksOfIndependentTransaction(this.#owner)
    return await (outer === undefined ? transactional() : runWithInnerHooks(this.#owner, outer, transactional, this.#reportHook))
  }

  /** MikroORM's own: each statement on whatever connection the pool has free. */
  async #runWithoutTransaction<T> (em: EntityManager, run: Independent<T>): Promise<T> {
    const { transaction } = this.#scope
    const { driver } = transaction
    const fresh = freshDriver(em.getDriver() as AbstractSqlDriver, () => transaction)
    const holders = [...Array<ConnectionUser>(this.#scope.connectionsOf(driver)).fill(this.#owner), ...holdersAround(this.#owner, driver)]
    const result = await acquireForTransaction(this.#owner, holders, driver, arrived => withForksOn(em, fresh, () => run(callback => {
      arrived()
      return callback()
    })))
    driver.gate.release()
    return result
  }

  readonly #note = (transaction: DeferredTransaction): () => void => {
    this.#open.add(transaction)
    return () => this.#open.delete(transaction)
  }

  readonly #reportHook = (error: unknown): void => {
    this.#owner.report(error, `${this.#owner.name}: a hook of an em.transactional() has failed`)
  }
}

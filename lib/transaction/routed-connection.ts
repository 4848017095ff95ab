import type { DatabaseConnection, Query, QueryOptions, Result } from '../drivers/pinned-transaction.ts'
import type { DeferredTransaction } from './deferred-transaction.ts'
import type { Savepoint } from './savepoint.ts'

type CancelQuery = NonNullable<DatabaseConnection['cancelQuery']>

/** Stands for the connection of one statement, which is chosen when the statement is known. */
export class RoutedConnection implements DatabaseConnection {
  readonly #transaction: DeferredTransaction
  readonly #part: Savepoint
  /** What the statement runs on, while it does. */
  #chosen: DatabaseConnection | undefined
  #giveUp: ((error: unknown) => void) | undefined

  constructor (transaction: DeferredTransaction, part: Savepoint) {
    this.#transaction = transaction
    this.#part = part
  }

  executeQuery (query: Query, options?: QueryOptions): Promise<Result> {
    return this.#transaction.execute(query, this.#part, options, async connection => {
      const signal = options?.signal
      if (signal === undefined) return await connection.executeQuery(query, options)
      this.#chosen = connection
      const { promise: killed, reject } = Promise.withResolvers<never>()
      this.#giveUp = reject
      killed.catch(() => {})
      try {
        await connection.collectSessionInfo?.()
        signal.throwIfAborted() // it may have had to wait
        return await Promise.race([connection.executeQuery(query, options), killed])
      } finally {
        this.#chosen = undefined
      }
    })
  }

  streamQuery (query: Query, chunkSize: number, options?: QueryOptions): AsyncIterableIterator<Result> {
    return this.#transaction.stream(query, this.#part, chunkSize, options)
  }

  /** Not on a connection of the pool that Kysely offers, for which it would wait as long as it takes. */
  async cancelQuery (): Promise<void> {
    if (this.#chosen !== undefined) this.#transaction.cancel(this.#chosen)
  }

  /** mysql2 3.24 gives no answer any more to what a connection was doing when it was destroyed, but refuses what comes after that. */
  async killSession (control: Parameters<CancelQuery>[0]): Promise<void> {
    const connection = this.#chosen
    if (connection?.killSession === undefined) return
    await connection.killSession(control)
    const probe = this.#transaction.driver.probeFor(connection)
    if (probe !== undefined) await connection.executeQuery(probe).catch(this.#giveUp)
  }
}

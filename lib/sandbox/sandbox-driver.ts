import type { AbstractSqlConnection, Kysely } from '@mikro-orm/sql'
import type { Dialect } from '../drivers/dialect.ts'
import type { BeginOptions, Driver } from '../drivers/driver.ts'
import { cancelStatement, isPool, lendConnection } from '../drivers/kysely/connections.ts'
import { KyselyTransaction } from '../drivers/kysely/kysely-transaction.ts'
import { probeFor } from '../drivers/kysely/probe.ts'
import type { DatabaseConnection, PinnedTransaction, Query, Result, TransactionSettings, Use } from '../drivers/pinned-transaction.ts'
import { PoolGate } from '../drivers/pool-gate.ts'
import { SandboxConnection } from './sandbox-client.ts'

/** A database inside a sandbox: what is a transaction elsewhere is a savepoint here, on the one connection that there is. */
export class SandboxDriver implements Driver {
  readonly dialect: Dialect
  readonly isPool: boolean
  readonly gate: PoolGate = new PoolGate(Infinity)
  readonly #connection: () => AbstractSqlConnection

  /** `client` is the one that the sandbox's connection comes from. */
  constructor (dialect: Dialect, client: Kysely<any>, connection: () => AbstractSqlConnection) {
    this.dialect = dialect
    this.isPool = isPool(client) // what waits elsewhere waits here, and what does not, does not
    this.#connection = connection
  }

  async begin (settings: TransactionSettings, { owner, arrived }: BeginOptions): Promise<PinnedTransaction> {
    const transaction = await KyselyTransaction.begin(this.#connection(), settings, arrived)
    ;(transaction.connection as SandboxConnection).noteOwner(owner)
    return transaction
  }

  read (use: Use<Result>, arrived: () => void): Promise<Result> {
    return this.lend(use, arrived)
  }

  lend<T> (use: Use<T>, arrived: () => void): Promise<T> {
    return lendConnection(this.#connection().getClient(), use, arrived)
  }

  cancel (connection: DatabaseConnection): Promise<void> {
    return cancelStatement(this.#connection().getClient(), connection)
  }

  probeFor (): Query | undefined {
    return this.isPool ? probeFor(this.#connection().getClient()) : undefined
  }

  runInside<T> (connection: DatabaseConnection, callback: () => Promise<T>): Promise<T> {
    return runInside(connection, callback)
  }
}

/** Contexts that are opened in the callback of a transaction lie inside of its savepoint. */
export function runInside<T> (connection: DatabaseConnection, callback: () => Promise<T>): Promise<T> {
  return connection instanceof SandboxConnection ? connection.savepoint!.run(callback) : callback()
}

import type { Dialect } from '../drivers/dialect.ts'
import type { BeginOptions, Driver } from '../drivers/driver.ts'
import { KyselyDriver } from '../drivers/kysely/kysely-driver.ts'
import type { DatabaseConnection, PinnedTransaction, TransactionSettings } from '../drivers/pinned-transaction.ts'
import { PoolGate } from '../drivers/pool-gate.ts'
import { SandboxConnection } from './sandbox-connection.ts'

/** A database inside a sandbox: what is a transaction elsewhere is a savepoint here, on the one connection that there is. */
export class SandboxDriver extends KyselyDriver implements Driver {
  override readonly dialect: Dialect
  override readonly gate: PoolGate = new PoolGate(Infinity) // the sandbox's own queue lets in

  constructor (dialect: Dialect, ...args: ConstructorParameters<typeof KyselyDriver>) {
    super(...args)
    this.dialect = dialect
  }

  override async begin (settings: TransactionSettings, options: BeginOptions): Promise<PinnedTransaction> {
    const transaction = await super.begin(settings, options)
    ;(transaction.connection as SandboxConnection).noteOwner(options.owner)
    return transaction
  }

  override runInside<T> (connection: DatabaseConnection, callback: () => Promise<T>): Promise<T> {
    return runInside(connection, callback)
  }
}

/** Contexts that are opened in the callback of a transaction lie inside of its savepoint. */
export function runInside<T> (connection: DatabaseConnection, callback: () => Promise<T>): Promise<T> {
  return connection instanceof SandboxConnection ? connection.savepoint!.run(callback) : callback()
}

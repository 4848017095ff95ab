import type { PoolGate } from './pool-gate.ts'
import type { Dialect } from './dialect.ts'
import type { DatabaseConnection, PinnedTransaction, Query, Result, TransactionSettings, Use } from './pinned-transaction.ts'

/**
 * What an engine must answer, and the only place that knows it. There is one for each connection of MikroORM's, which is a
 * pool of the driver's; `driverOf()` has it.
 */
export interface Driver {
  /** Whose rules its SQL is read by. */
  readonly dialect: Dialect
  /** Has several connections: one can read beside a transaction, or cancel what another one runs. */
  readonly isPool: boolean
  /** Whom its pool lets in. */
  readonly gate: PoolGate
  /** Begins a transaction on a connection of its own. Where that fails, the connection has gone back. */
  begin (settings: TransactionSettings, options: BeginOptions): Promise<PinnedTransaction>
  /** Runs one statement in autocommit, on a connection that is free. Calls `arrived` when there is one, which may throw. */
  read (use: Use<Result>, arrived: () => void): Promise<Result>
  /** The same for whatever needs the connection for longer, such as a stream. */
  lend<T> (use: Use<T>, arrived: () => void): Promise<T>
  /** Cancels what is running on the connection, where the database can. Rejects where that is too late. */
  cancel (connection: DatabaseConnection): Promise<void>
  /** What a connection of a stream is asked to find out whether it is alive; `undefined` if it cannot die, or says so itself. */
  probeFor (connection: DatabaseConnection): Query | undefined
  /** Runs the callback of an independent transaction, which has that connection. */
  runInside<T> (connection: DatabaseConnection, callback: () => Promise<T>): Promise<T>
}

export interface BeginOptions {
  /** The context whose transaction it is. */
  owner: object
  /** Called when there is a connection. If it throws, the connection goes back, and nothing begins. */
  arrived (): void
  /** What comes next is a statement: `BEGIN` may travel with it. See `PinnedTransaction.beginError`. */
  withStatement: boolean
}

/** Marks a connection of MikroORM's that has brought a driver of its own, such as that of a sandbox. */
export const DRIVER: unique symbol = Symbol('fastify-context-orm.driver')

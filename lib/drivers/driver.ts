import type { PoolGate } from './pool-gate.ts'
import type { Dialect } from './dialect.ts'
import type { DatabaseConnection, PinnedTransaction, Query, Result, TransactionSettings, Use } from './pinned-transaction.ts'
import type { Replication } from './replication.ts'

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
  /**
   * Takes whom to tell what the app should know of the server, once there is a connection. `undefined` if there is nothing to
   * look for, or somebody is told already.
   */
  watchServer?: ((warn: (message: string) => void) => void) | undefined
  /** What it knows of replicas; `undefined` if nothing. */
  readonly replication: Replication | undefined
  /** Begins a transaction on a connection of its own. Where that fails, the connection has gone back. */
  begin (settings: TransactionSettings, options: BeginOptions): Promise<PinnedTransaction>
  /** Runs one statement in autocommit, on a connection that is free. Calls `arrived` when there is one, which may throw. */
  read (use: Use<Result>, arrived: () => void): Promise<Result>
  /** Lends a connection in autocommit for longer than a statement, such as for a stream. Calls `arrived` as `read()` does. */
  lend<T> (use: Use<T>, arrived: () => void): Promise<T>
  /** Cancels what is running on the connection, where the database can, until that has `ended`. Rejects where it is too late. */
  cancel (connection: DatabaseConnection, ended: Promise<unknown>): Promise<void>
  /** Closes a connection whose server does not answer: nobody waits any more for what is running there. */
  abandon (connection: DatabaseConnection): void
  /** Whether a statement may commit or roll back by itself, in a way that nobody can see: a procedure that it calls, for example. */
  mayEndTransaction (sql: string): boolean
  /** What a connection of a stream is asked to find out whether it is alive; `undefined` if it cannot die, or says so itself. */
  probeFor (connection: DatabaseConnection): Query | undefined
  /** Ends a stream whose rows nobody reads on. Resolves when the connection takes the next statement. */
  leaveStream (connection: DatabaseConnection, rows: AsyncIterator<unknown>): Promise<unknown>
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
  /** Whether its commit is to say where it is in the log: see `PinnedTransaction.position`. */
  tracksPosition: boolean
}

/** Marks a connection of MikroORM's that has brought a driver of its own, such as that of a sandbox. */
export const DRIVER: unique symbol = Symbol('fastify-context-orm.driver')

import type { AbstractSqlConnection } from '@mikro-orm/sql'
import { once, type EventEmitter } from 'node:events'

/** What is used of pg 8.23 itself, where that is MikroORM's driver. */
export interface PgPool {
  readonly Client: new (options: object) => PgControlClient
  readonly options: object
  connect (): Promise<PgClient>
}

export interface PgClient {
  /** Says what comes from the server, before pg makes a result or an error of it. */
  readonly connection: EventEmitter
  readonly processID: number
  readonly secretKey: unknown
  query (text: string, values?: readonly unknown[]): Promise<PgResult | PgResult[]>
  /** What the server has said last: idle, in a transaction, or in one that has failed. */
  getTransactionStatus (): 'I' | 'T' | 'E' | null
  /** Gives it back to its pool, which closes it if there is an error. */
  release (error?: Error): void
}

/** One result for each statement of the text: a single one is no array. */
export interface PgResult {
  command: string | null
  rowCount: number | null
  rows: any[]
}

/** A client that does nothing but ask the server to cancel what another one has sent. */
interface PgControlClient {
  readonly connection: EventEmitter
  cancel (target: { activeQuery: object, processID: number, secretKey: unknown }, query: object): void
}

/** What PostgreSQL has said has a severity, and perhaps a place in the text, from 1 on. */
export interface PgError extends Error {
  code?: string
  severity?: string
  position?: string
}

/**
 * Cancels what the client is running, on a connection beside the pool. Resolves when the server has been told. That is the
 * protocol's own request, and not a statement: PgBouncer passes it on, while to `pg_cancel_backend()` its process ids mean
 * nothing.
 */
export async function cancelOn (pool: PgPool, { processID, secretKey }: PgClient): Promise<void> {
  const control = new pool.Client(pool.options)
  const query = {} // pg looks whether the query is running, and would warn of the property in which it keeps that
  control.connection.on('error', () => {})
  const answered = once(control.connection, 'end') // rejects with an error of the connection
  control.cancel({ activeQuery: query, processID, secretKey }, query)
  await answered
}

/**
 * Sends what begins with a commit, and goes on. If the rest fails, pg rejects, and nobody could tell whether the commit has failed: so
 * its answer is heard as it comes. Resolves with what the server has answered to each.
 */
export async function sendCommitAndMore (client: PgClient, send: () => Promise<PgResult | PgResult[]>): Promise<PgResult[]> {
  let hasCommitted = false
  const note = ({ text }: { text: string }): void => { hasCommitted ||= text === COMMITTED }
  client.connection.on('commandComplete', note)
  try {
    return await send() as PgResult[]
  } catch (error) {
    if (!hasCommitted) throw error
    return [{ command: COMMITTED, rowCount: null, rows: [] }]
  } finally {
    client.connection.off('commandComplete', note)
  }
}

const COMMITTED = 'COMMIT'

/** Whether the client talks to another process than the one that runs its statements, which PgBouncer gives numbers of its own to. */
export async function isBehindPooler (pool: PgPool): Promise<boolean> {
  const client = await pool.connect()
  try {
    const { rows } = await client.query('select pg_backend_pid() as pid') as PgResult
    return rows[0].pid !== client.processID
  } finally {
    client.release()
  }
}

/**
 * The pool of a driver that MikroORM has made. `null` if that is not pg's in JavaScript, or one that lacks what is used of it:
 * then all goes through Kysely.
 */
export async function openPool (connection: AbstractSqlConnection): Promise<PgPool | null> {
  // where a driver does not have it, MikroORM 7.2.1 rejects
  const native: any = await (connection as AbstractSqlConnection & { getNativeClient (): Promise<unknown> }).getNativeClient().catch(() => null)
  const methods = native?.Client?.prototype
  const isPg = typeof native?.connect === 'function' && typeof methods?.getTransactionStatus === 'function' && typeof methods.cancel === 'function'
  if (!isPg) return null
  // Kysely 0.29 closes the pool only if it has been asked for a connection
  await connection.getClient().getExecutor().provideConnection(async () => {})
  return native
}

import type { AbstractSqlConnection, Kysely } from '@mikro-orm/sql'

/** What is used of pg 8.23 itself, where that is MikroORM's driver. */
export interface PgPool {
  readonly Client: PgClientClass
  readonly options: object
  connect (): Promise<PgClient>
}

export interface PgClient {
  /** Not documented, but Kysely 0.29.6 uses it as well. */
  readonly processID: number
  query (text: string, values: readonly unknown[], callback: (error: unknown, result?: { rows: any[] }) => void): void
  /** Gives it back to its pool, which closes it if there is an error. */
  release (error?: Error): void
}

interface PgClientClass {
  new (options: object): StandalonePgClient
  readonly Query: PgQueryClass
}

/** One of no pool. */
interface StandalonePgClient {
  connect (): Promise<void>
  query (text: string): Promise<unknown>
  end (): Promise<void>
  on (event: 'error', listener: (error: Error) => void): void
}

/** Of the class of which a client makes one for each query. */
export interface PgQuery {
  callback: (error: ErrorOfPg | null | undefined, results: unknown) => void
  submit (wire: Wire): unknown
  handleCommandComplete (message: unknown, wire: Wire): void
}

export type PgQueryClass = new (text: string) => PgQuery

/** pg's `Connection`. */
export interface Wire {
  /** Sends statements without parameters. */
  query (text: string): void
  readonly stream: { readonly destroyed: boolean }
}

/** What PostgreSQL has said has a severity, and perhaps a place in the query, from 1 on. */
export interface ErrorOfPg extends Error {
  code?: string
  severity?: string
  position?: string
}

const pools = new WeakMap<Kysely<any>, PgPool | null>()

/** `null` if the driver is not pg's in JavaScript. Of one that is closed and opened again, the pool is another. */
export function pgPoolOf (connection: AbstractSqlConnection): PgPool | null | Promise<PgPool | null> {
  const known = pools.get(connection.getClient())
  return known === undefined ? askForPool(connection) : known
}

async function askForPool (connection: AbstractSqlConnection): Promise<PgPool | null> {
  // where a driver does not have it, MikroORM 7.2.1 rejects
  const native: any = await (connection as AbstractSqlConnection & { getNativeClient (): Promise<unknown> }).getNativeClient().catch(() => null)
  const pool: PgPool | null = typeof native?.Client?.Query?.prototype.requiresPreparation === 'function' ? native : null
  pools.set(connection.getClient(), pool)
  return pool
}

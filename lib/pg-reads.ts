import type { AbstractSqlConnection, Kysely, SqlEntityManager } from '@mikro-orm/sql'
import { isDriverOfMikroOrm } from './driver-options.ts'
import { isClosing } from './dying-connection.ts'
import { pgPoolOf, type PgClient, type PgPool } from './pg-driver.ts'
import type { Query, Result } from './pinned-transaction.ts'
import type { RunningStatements } from './running-statements.ts'
import { isPostgres } from './sql-package.ts'

/**
 * Reads straight on pg's pool, each on a connection that it has for itself. To lend one and to send a query on it,
 * Kysely 0.29.6 makes almost three times as many promises: a twentieth of the CPU time of a request that reads one row.
 */
export async function readOnPg (pool: PgPool, query: Query, statements: RunningStatements): Promise<Result> {
  // as a promise: pg-pool 3.14 calls back in the async context of whoever has given the connection back
  const client = await pool.connect()
  const read = new PgRead(pool, client)
  let result: Result | undefined
  let failure: unknown
  try {
    result = await statements.run(read, () => read.execute(query))
  } catch (error) {
    failure = error
    // as pg 8.23 does: the error was made where the socket is read
    if (error instanceof Error && Object.isExtensible(error)) Error.captureStackTrace(error)
  }
  if (read.cancelled !== undefined) await read.cancelled.catch(() => {}) // or it might hit the next statement of that connection
  client.release(isClosing(failure) ? failure as Error : undefined)
  if (result === undefined) throw failure
  return result
}

class PgRead {
  readonly #pool: PgPool
  readonly #client: PgClient
  #hasEnded = false
  /** PostgreSQL has been told to cancel it: settled when it has answered. */
  cancelled: Promise<unknown> | undefined

  constructor (pool: PgPool, client: PgClient) {
    this.#pool = pool
    this.#client = client
  }

  execute ({ sql, parameters }: Query): Promise<Result> {
    return new Promise((resolve, reject) => this.#client.query(sql, parameters, (error, result) => {
      this.#hasEnded = true
      if (result === undefined) reject(error)
      else resolve({ rows: result.rows })
    }))
  }

  /** On a connection beside the pool, whose own may all be taken. */
  async cancelQuery (): Promise<void> {
    const control = new this.#pool.Client(this.#pool.options)
    control.on('error', () => {}) // of a connection that dies later, pg emits it
    try {
      await control.connect()
      if (this.#hasEnded) return
      this.cancelled = control.query(`select pg_cancel_backend(${this.#client.processID})`)
      await this.cancelled
    } finally {
      control.end().catch(() => {})
    }
  }
}

const known = new WeakMap<Kysely<any>, PgPool | null>()

/** `null` if reads have to go through Kysely, and `undefined` if that is not known yet: see `findPoolForReads()`. */
export function poolForReads (connection: AbstractSqlConnection): PgPool | null | undefined {
  return known.get(connection.getClient())
}

/** Of a MikroORM that is closed and opened again, Kysely is another, and so is the pool. */
export async function findPoolForReads (em: SqlEntityManager, connection: AbstractSqlConnection): Promise<void> {
  known.set(connection.getClient(), needsKysely(em, connection) ? null : await pgPoolOf(connection))
}

/** MikroORM 7.2.1 or the user wants something done whenever Kysely makes or lends a connection. */
function needsKysely (em: SqlEntityManager, connection: AbstractSqlConnection): boolean {
  const { config } = em
  return !isPostgres(connection) || !isDriverOfMikroOrm(em, connection) ||
    config.get('sessionContext') === 'connection' || config.get('onCreateConnection') !== undefined || config.get('onReserveConnection') !== undefined
}

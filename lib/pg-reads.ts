import type { AbstractSqlConnection, Kysely, SqlEntityManager } from '@mikro-orm/sql'
import { driverOptionsOf } from './driver-options.ts'
import { isClosing } from './dying-connection.ts'
import { pgPoolOf, type PgClient, type PgPool } from './pg-pool.ts'
import type { Query, Result } from './pinned-transaction.ts'
import type { RunningStatements } from './running-statements.ts'
import { SANDBOXED } from './sandboxes.ts'

/**
 * Reads straight on pg's pool, each on a connection that it has for itself. To lend one, Kysely 0.29.6 takes nine
 * promises more, which is a twentieth of the CPU time of a request that reads one row.
 */
export class PgReads {
  readonly #pool: PgPool

  constructor (pool: PgPool) {
    this.#pool = pool
  }

  async execute (query: Query, statements: RunningStatements): Promise<Result> {
    const client = await this.#connect()
    const read = new PgRead(this.#pool, client)
    let result: Result | undefined
    let failure: unknown
    try {
      result = await statements.run(read, () => read.execute(query))
    } catch (error) {
      Error.captureStackTrace(error as Error) // as pg does: the error was made where the socket is read
      failure = error
    }
    if (read.cancelled !== undefined) await read.cancelled.catch(() => {}) // or it might hit the next statement of that connection
    client.release(isClosing(failure) ? failure as Error : undefined)
    if (result === undefined) throw failure
    return result
  }

  /** A promise, and no callback: that would be called in the async context of whoever has given the connection back. */
  #connect (): Promise<PgClient> {
    return new Promise((resolve, reject) => this.#pool.connect((error, client) => error == null ? resolve(client) : reject(error)))
  }
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
      if (error == null) resolve({ rows: result.rows! })
      else reject(error)
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

const known = new WeakMap<Kysely<any>, PgReads | null>()

/** `null` if there are none, and `undefined` if that is not known yet: see `findPgReads()`. */
export function pgReadsOf (connection: AbstractSqlConnection): PgReads | null | undefined {
  return known.get(connection.getClient())
}

/** There are none if pg is not the driver, or if something of the user's own is to be done with each connection. */
export async function findPgReads (em: SqlEntityManager, connection: AbstractSqlConnection): Promise<void> {
  const pool = isOrdinary(em, connection) ? await pgPoolOf(connection) : null
  known.set(connection.getClient(), pool === null ? null : new PgReads(pool))
}

/** What MikroORM 7.2.1 does when Kysely creates or lends a connection would not be done. */
function isOrdinary (em: SqlEntityManager, connection: AbstractSqlConnection): boolean {
  const { config } = em
  return !(SANDBOXED in connection) && driverOptionsOf(em) !== undefined && config.get('sessionContext') !== 'connection' &&
    config.get('onCreateConnection') === undefined && config.get('onReserveConnection') === undefined
}

import { isLost } from '../errors.ts'
import { withCallersLine } from '../../errors.ts'
import { cancelOn, type PgClient, type PgPool, type PgResult } from './internals.ts'
import type { DatabaseConnection, Query, Result } from '../pinned-transaction.ts'
import { beginsWithSelect } from '../../util/begins-with-select.ts'

/**
 * A connection of pg's own pool. To lend one and to send a query on it, Kysely 0.29.6 makes almost three times as many
 * promises, and it makes no rows of the answer to several statements.
 *
 * Statements are plain strings, as Kysely sends them: whoever wraps pg to trace or to comment them knows these.
 */
export class PgConnection implements DatabaseConnection {
  readonly #pool: PgPool
  protected readonly client: PgClient
  #isRunning = false
  /** The server has been told to cancel: settled when it has heard that. */
  #cancelled: Promise<void> | undefined
  #lost: Error | undefined
  #isReleased = false

  constructor (pool: PgPool, client: PgClient) {
    this.#pool = pool
    this.client = client
  }

  async executeQuery ({ sql, parameters }: Query): Promise<Result> {
    return resultOf(await this.send(sql, parameters))
  }

  /** In a transaction: a cursor of PostgreSQL's own. What is no `select` has none, and is executed at once anyway. */
  async * streamQuery (query: Query, chunkSize: number): AsyncGenerator<Result, undefined> {
    if (!beginsWithSelect(query.sql)) {
      const { rows } = await this.executeQuery(query)
      for (let start = 0; start < rows.length; start += chunkSize) yield { rows: rows.slice(start, start + chunkSize) }
      return undefined
    }
    const cursor = `"fastify-context-orm ${++cursors}"`
    await this.send(`declare ${cursor} no scroll cursor for ${query.sql}`, query.parameters)
    try {
      for (;;) {
        const { rows } = resultOf(await this.send(`fetch ${chunkSize} from ${cursor}`))
        if (rows.length === 0) return undefined
        yield { rows }
      }
    } finally {
      await this.send(`close ${cursor}`).catch(() => {}) // a transaction that has failed has none any more
    }
  }

  async cancelQuery (): Promise<void> {
    if (!this.#isRunning) return
    this.#cancelled = cancelOn(this.#pool, this.client).catch(() => {}) // who cannot be told is gone, or soon will be
    await this.#cancelled
  }

  /** PostgreSQL ends a session when its client does. */
  async killSession (): Promise<void> {
    this.#lost = new Error('The session was to be killed')
    await this.cancelQuery()
  }

  /** The pool closes it at once: what is running there fails. */
  abandon (): void {
    this.#lost = new Error('The server does not answer')
    this.#release(this.#lost)
  }

  /** Gives it back to the pool, which closes it if it is not known to be well. */
  release (error?: unknown): Promise<void> | undefined {
    const release = (): void => this.#release(this.#lost ?? (error instanceof Error ? error : undefined))
    if (this.#cancelled !== undefined) return this.#cancelled.then(release)
    release()
    return undefined
  }

  #release (error: Error | undefined): void {
    if (this.#isReleased) return
    this.#isReleased = true
    this.client.release(error)
  }

  protected async send (sql: string, parameters?: readonly unknown[]): Promise<PgResult | PgResult[]> {
    if (this.#cancelled !== undefined) await this.#cancelled // or it might hit this statement
    this.#isRunning = true
    try {
      const result = await this.client.query(sql, parameters)
      this.#isRunning = false
      return result
    } catch (error) {
      this.#isRunning = false
      if (isLost(error)) this.#lost = error as Error
      // pg 8.23 does so as well, but for ten frames only, which do not reach the caller
      if (error instanceof Error && Object.isExtensible(error)) withCallersLine(() => Error.captureStackTrace(error))
      throw error
    }
  }
}

let cursors = 0

/** As Kysely 0.29.6 makes it, for whom several results have no rows. */
export function resultOf (result: PgResult | PgResult[]): Result {
  const { command, rowCount, rows } = result as PgResult
  return { numAffectedRows: MODIFICATIONS.includes(command!) ? BigInt(rowCount!) : undefined, rows: rows ?? [] }
}

const MODIFICATIONS = ['INSERT', 'UPDATE', 'DELETE', 'MERGE']

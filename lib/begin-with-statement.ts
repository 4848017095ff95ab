import type { AbstractSqlConnection } from '@mikro-orm/sql'
import { pgPoolOf, type ErrorOfPg, type PgPool, type PgQuery, type PgQueryClass, type Wire } from './pg-driver.ts'
import type { DatabaseConnection, Query, QueryOptions, Result } from './pinned-transaction.ts'

/**
 * `BEGIN` and the first statement of a transaction, sent as one query: the database answers both in one round trip, and
 * where `BEGIN` fails, it does not come to the statement. (That would be committed at once.)
 *
 * Of such a query, pg 8.23 gives the results of both, of which Kysely 0.29.6 makes no rows. So it gets a query that answers
 * with those of the statement: pg takes whatever has a method `submit`, as pg-cursor does, and Kysely hands it what it has
 * for `sql` as it is. Where that should change, `BEGIN` goes by itself.
 */

interface QueryThatBegins extends PgQuery {
  /** It has come as far as the connection. */
  readonly isSent: boolean
  /** `BEGIN` is done, or on its way. */
  readonly hasBegun: boolean
}

type QueryThatBeginsClass = new (sql: string) => QueryThatBegins

const BEGIN = 'begin;'

type Control = Parameters<NonNullable<DatabaseConnection['cancelQuery']>>[0]

/** Lends a connection to a transaction that has not begun: its first statement brings `BEGIN` along. */
export class ConnectionThatBegins implements DatabaseConnection {
  readonly #connection: DatabaseConnection
  readonly #Query: QueryThatBeginsClass
  readonly #begin: () => Promise<unknown>
  #isUsed = false
  /** Why there is no transaction: `BEGIN` has failed, or the connection with it. */
  error: unknown
  /** Called when it has begun, before the first statement resolves or rejects. */
  onBegun!: () => void

  /** `begin` sends `BEGIN` by itself. */
  constructor (connection: DatabaseConnection, Query: QueryThatBeginsClass, begin: () => Promise<unknown>) {
    this.#connection = connection
    this.#Query = Query
    this.#begin = begin
  }

  executeQuery (query: Query, options?: QueryOptions): Promise<Result> {
    if (this.#isUsed) return this.#connection.executeQuery(query, options)
    this.#isUsed = true
    // PostgreSQL takes several statements only without parameters, as MikroORM 7.2.1 makes all of its own
    return query.parameters.length === 0 ? this.#executeWithBegin(query, options) : this.#executeAfterBegin(query, options)
  }

  streamQuery (query: Query, chunkSize: number, options?: QueryOptions): AsyncIterableIterator<Result> {
    return this.#connection.streamQuery(query, chunkSize, options)
  }

  async collectSessionInfo (): Promise<void> {
    await this.#connection.collectSessionInfo?.()
  }

  async cancelQuery (control: Control): Promise<void> {
    await this.#connection.cancelQuery?.(control)
  }

  async killSession (control: Control): Promise<void> {
    await this.#connection.killSession?.(control)
  }

  async #executeWithBegin (query: Query, options?: QueryOptions): Promise<Result> {
    const both = new this.#Query(query.sql)
    try {
      const result = await this.#connection.executeQuery({ ...query, sql: both as unknown as string }, options)
      this.onBegun()
      return result
    } catch (error) {
      if (both.hasBegun) {
        this.onBegun()
        throw error
      }
      if (!both.isSent || isRefusal(error)) return await this.#executeAfterBegin(query, options)
      this.error = error
      throw error
    }
  }

  /**
   * Also for a query that something between Kysely and pg has not let through, and for one that PostgreSQL has refused
   * before `BEGIN`: if the statement is to blame, such as for its syntax, it shall fail in the transaction like any other.
   */
  async #executeAfterBegin (query: Query, options?: QueryOptions): Promise<Result> {
    try {
      await this.#begin()
    } catch (error) {
      this.error = error
      throw error
    }
    this.onBegun()
    return await this.#connection.executeQuery(query, options)
  }
}

/** PostgreSQL has answered, and not that it was told to stop. */
function isRefusal (error: unknown): boolean {
  const { severity, code } = error as ErrorOfPg
  return severity !== undefined && code?.startsWith('57') === false
}

const classes = new WeakMap<PgPool, QueryThatBeginsClass>()

/** `null` if the driver is not pg's in JavaScript. */
export function queryThatBegins (connection: AbstractSqlConnection): QueryThatBeginsClass | null | Promise<QueryThatBeginsClass | null> {
  const pool = pgPoolOf(connection)
  return pool instanceof Promise ? pool.then(queryThatBeginsOn) : queryThatBeginsOn(pool)
}

function queryThatBeginsOn (pool: PgPool | null): QueryThatBeginsClass | null {
  if (pool === null) return null
  const known = classes.get(pool) ?? queryThatBeginsOf(pool.Client.Query)
  classes.set(pool, known)
  return known
}

function queryThatBeginsOf (Query: PgQueryClass): QueryThatBeginsClass {
  return class extends Query implements QueryThatBegins {
    readonly #sql: string
    readonly #answer: Promise<unknown>
    #wire: Wire | undefined
    hasBegun = false

    constructor (sql: string) {
      super(sql)
      this.#sql = sql
      // for whoever observes queries; hidden from whoever copies them, to add a comment for example: a copy would not begin
      Object.defineProperty(this, 'text', { value: sql, enumerable: false })
      this.#answer = new Promise((resolve, reject) => {
        this.callback = (error, results) => {
          if (error == null) return resolve(withoutFirst(results))
          // what fails in this process, such as pg's `query_timeout`, leaves BEGIN on its way
          this.hasBegun ||= this.#wire?.stream.destroyed === false && error.severity === undefined
          if (error.position !== undefined) error.position = String(Number(error.position) - BEGIN.length)
          reject(error)
        }
      }).catch(error => {
        Error.captureStackTrace(error) // as pg does: the error was made where the socket is read
        throw error
      })
      this.#answer.catch(() => {}) // whoever has copied it may have copied the callback
    }

    get isSent (): boolean {
      return this.#wire !== undefined
    }

    /** pg gives back what it was given, and Kysely awaits that. */
    then (...handlers: Parameters<Promise<unknown>['then']>): Promise<unknown> {
      return this.#answer.then(...handlers)
    }

    override submit (wire: Wire): unknown {
      this.#wire = wire
      wire.query(BEGIN + this.#sql)
      return null
    }

    override handleCommandComplete (message: unknown, wire: Wire): void {
      this.hasBegun = true
      super.handleCommandComplete(message, wire)
    }
  }
}

/** Of several results pg makes an array; of the statement's, there is usually one. */
function withoutFirst (results: unknown): unknown {
  if (!Array.isArray(results)) return results
  return results.length === 2 ? results[1] : results.slice(1)
}

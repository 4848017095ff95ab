import type { SqlEntityManager } from '@mikro-orm/sql'
import { channel, type Channel } from 'node:diagnostics_channel'
import type { DatabaseConnection, Result, ServerOfStatement, Use } from '../drivers/pinned-transaction.ts'
import { nameOf } from '../drivers/replicas/internals.ts'
import { callersLine } from './callers-line.ts'
import type { StatementDescription, StatementKind } from './statement-description.ts'

/** Nothing is made for it as long as nobody has subscribed. */
export const statement: Channel = channel('fastify-context-orm:statement')

/** The transaction that it is asked of. */
interface Asked {
  readonly em: SqlEntityManager
  readonly owner: { onStatement (statement: StatementDescription): void }
  /** That of the real transaction while there is one. */
  readonly connection: DatabaseConnection | undefined
  readonly number: number
}

/** Begins to observe a statement that is asked for. `undefined` as long as nobody wants to know. */
export function observe (asked: Asked, kind: StatementKind, sql: string, line?: string): ObservedStatement | undefined {
  return statement.hasSubscribers ? new ObservedStatement(asked, kind, sql, line ?? callersLine()) : undefined
}

/** A statement on its way, for those who have subscribed. */
export class ObservedStatement {
  readonly #asked: Asked
  readonly #kind: StatementKind
  readonly #sql: string
  readonly #line: string | undefined
  readonly #since = performance.now()
  #transaction: number | undefined
  #replica: ServerOfStatement | undefined
  #startedAt: number | undefined
  #endedAt: number | undefined
  #isTold = false

  constructor (asked: Asked, kind: StatementKind, sql: string, line: string | undefined) {
    this.#asked = asked
    this.#kind = kind
    this.#sql = sql
    this.#line = line
  }

  /** It is sent: perhaps once more, to another server. */
  start (connection: DatabaseConnection | undefined, replica?: ServerOfStatement): void {
    const { number } = this.#asked
    this.#transaction = this.#kind === 'begin' || this.#asked.connection === connection ? number : undefined
    this.#replica = replica
    this.#startedAt = performance.now()
  }

  /** It is answered, and told of later. */
  stop (): void {
    this.#endedAt = performance.now()
  }

  /** Tells of it, once. */
  end (error?: unknown, rows?: number): void {
    if (this.#isTold) return
    this.#isTold = true
    const { em, owner } = this.#asked
    const now = this.#endedAt ?? performance.now()
    const started = this.#startedAt ?? now
    owner.onStatement({
      database: em.name,
      kind: this.#kind,
      sql: this.#sql,
      transaction: this.#transaction,
      server: nameOf(this.#replica?.connection ?? em.getConnection('write')),
      replica: this.#replica !== undefined,
      sent: this.#startedAt !== undefined,
      started,
      duration: now - started,
      waited: started - this.#since,
      rows,
      line: this.#line,
      error
    })
  }

  /** Whoever executes it: `run` gets what notes when it is sent. */
  async run<T> (use: Use<T>, run: (use: Use<T>) => Promise<T>): Promise<T> {
    try {
      const result = await run(this.noting(use))
      this.end(undefined, this.#kind === 'savepoint' ? undefined : rowsOf(result as Result))
      return result
    } catch (error) {
      this.end(error)
      throw error
    }
  }

  /** The same of one whose rows are streamed. */
  async * stream<T> (rows: AsyncGenerator<T, undefined>): AsyncGenerator<T, undefined> {
    try {
      return yield * rows
    } catch (error) {
      this.end(error)
      throw error
    } finally {
      this.end()
    }
  }

  noting<T> (use: Use<T>): Use<T> {
    return (connection, replica) => {
      this.start(connection, replica)
      return use(connection, replica)
    }
  }
}

function rowsOf ({ numAffectedRows, rows }: Result): number {
  return Number(numAffectedRows ?? rows.length)
}

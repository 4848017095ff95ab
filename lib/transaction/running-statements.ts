import type { Kysely } from '@mikro-orm/sql'
import { noteErrorOfDriver } from '../fastify/error-replies.ts'
import type { DatabaseConnection } from '../drivers/pinned-transaction.ts'

type Client = Kysely<any>

type Cancellable = Pick<DatabaseConnection, 'cancelQuery' | 'collectSessionInfo'>

interface Running {
  connection: Cancellable
  statement: Promise<unknown>
}

/** The statements of a unit of work that have a connection at the moment. */
export class RunningStatements {
  readonly #running: Running[] = []
  #cancelled: Promise<unknown> | undefined

  /** Settled when they are done, and nothing is on its way any more that cancels them. */
  get done (): Promise<unknown> {
    return Promise.allSettled([...this.#running.map(({ statement }) => statement), this.#cancelled])
  }

  /** Settled when the database has been told what to cancel: a cancellation that is on its way may hit what comes next. */
  get cancelled (): Promise<unknown> | undefined {
    return this.#cancelled
  }

  async run<C extends Cancellable, T> (connection: C, use: (connection: C) => Promise<T>): Promise<T> {
    const statement = use(connection)
    const running: Running = { connection, statement }
    this.#running.push(running)
    try {
      const result = await statement
      this.#hasEnded(running)
      return result
    } catch (error) {
      this.#hasEnded(running)
      noteErrorOfDriver(error)
      throw error
    }
  }

  /**
   * Cancels them, where the database can, without waiting for it. Best effort: a statement that has ended meanwhile cannot
   * be cancelled, which Kysely 0.29.6 says with a `TypeError`, and one on a dead connection need not.
   */
  cancel (client: Client): void {
    if (this.#running.length === 0) return
    this.#cancelled = Promise.allSettled(this.#running.map(async ({ connection }) => {
      await connection.collectSessionInfo?.()
      await connection.cancelQuery?.(use => client.getExecutor().provideConnection(use))
    }))
  }

  #hasEnded (running: Running): void {
    const last = this.#running.pop()!
    if (last !== running) this.#running[this.#running.indexOf(running)] = last
  }
}

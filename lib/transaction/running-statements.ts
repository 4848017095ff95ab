import type { Driver } from '../drivers/driver.ts'
import { noteErrorOfDriver } from '../drivers/errors.ts'
import type { DatabaseConnection, Use } from '../drivers/pinned-transaction.ts'

interface Running {
  connection: DatabaseConnection
  statement: Promise<unknown>
}

/** The statements of a scope that have a connection at the moment. */
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

  async run<T> (connection: DatabaseConnection, use: Use<T>): Promise<T> {
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
   * be cancelled, and one on a dead connection need not.
   */
  cancel (cancel: Driver['cancel']): void {
    if (this.#running.length === 0) return
    this.#cancelled = Promise.allSettled(this.#running.map(({ connection }) => cancel(connection)))
  }

  #hasEnded (running: Running): void {
    const last = this.#running.pop()!
    if (last !== running) this.#running[this.#running.indexOf(running)] = last
  }
}

import { setTimeout } from 'node:timers/promises'
import type { Driver } from '../drivers/driver.ts'
import { noteErrorOfDriver } from '../drivers/errors.ts'
import type { DatabaseConnection, PinnedTransaction, ServerOfStatement, Use } from '../drivers/pinned-transaction.ts'
import { noteServer } from '../drivers/replicas/served-by.ts'

interface Running {
  connection: DatabaseConnection
  /** Whose connection it is, if not that of the one who cancels. */
  replica: ServerOfStatement | undefined
  statement: Promise<unknown>
  /** Settled when the database has been told to cancel it. */
  cancelled: Promise<unknown> | undefined
}

/** The statements of a scope that have a connection at the moment. */
export class RunningStatements {
  readonly #running: Running[] = []

  /** Settled when they are done, and nothing is on its way any more that cancels them. */
  get done (): Promise<unknown> {
    return Promise.allSettled(this.#running.flatMap(({ statement, cancelled }) => [statement, cancelled]))
  }

  /** Also waits for what cancels the statement: if that came late, it would hit the next statement on the connection. */
  async run<T> (connection: DatabaseConnection, use: Use<T>, replica?: ServerOfStatement): Promise<T> {
    const statement = use(connection, replica)
    const running: Running = { connection, replica, statement, cancelled: undefined }
    this.#running.push(running)
    try {
      return await statement
    } catch (error) {
      noteErrorOfDriver(error)
      throw error
    } finally {
      if (running.cancelled !== undefined) await running.cancelled
      this.#hasEnded(running)
    }
  }

  /** Runs one in a transaction, wherever that runs. */
  runIn<T> ({ connection, replica }: PinnedTransaction, use: Use<T>): Promise<T> {
    if (replica !== undefined) noteServer(replica.connection)
    return this.run(connection, use, replica)
  }

  /**
   * Cancels them, or that on `only`, where the database can, without waiting for it. Best effort: a statement that has ended
   * meanwhile cannot be cancelled, and one on a dead connection need not.
   */
  cancel (cancel: Driver['cancel'], only?: DatabaseConnection): void {
    for (const running of this.#running) {
      const { connection, replica, statement, cancelled } = running
      if (only !== undefined && connection !== only) continue
      const tell = (): Promise<void> => replica === undefined ? cancel(connection, statement) : replica.driver.cancel(connection, statement)
      running.cancelled = Promise.allSettled([cancelled, tellUntilEnded(tell, statement)])
    }
  }

  #hasEnded (running: Running): void {
    const last = this.#running.pop()!
    if (last !== running) this.#running[this.#running.indexOf(running)] = last
  }
}

const TELL_AGAIN_AFTER_MS = [100, 300, 1000, 3000]

/** A cancellation may overtake its statement on the way to the server, which then knows of nothing to cancel. */
async function tellUntilEnded (tell: () => Promise<void>, statement: Promise<unknown>): Promise<void> {
  const ended = new AbortController()
  statement.catch(() => {}).finally(() => ended.abort())
  for (const ms of TELL_AGAIN_AFTER_MS) {
    await Promise.allSettled([tell()])
    await setTimeout(ms, undefined, { signal: ended.signal, ref: false }).catch(() => {})
    if (ended.signal.aborted) return
  }
}

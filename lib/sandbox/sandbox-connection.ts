import type { DatabaseConnection, Query, QueryOptions, Result } from '../drivers/pinned-transaction.ts'
import { FST_ORM_SANDBOX_ENDED, withCallersLine } from '../errors.ts'
import { isRead } from '../sql/statement.ts'
import { SandboxSavepoint } from './sandbox-savepoint.ts'
import type { SandboxTransaction } from './sandbox-transaction.ts'

type InTurn = () => Promise<Result>
type CancelQuery = NonNullable<DatabaseConnection['cancelQuery']>

let connections = 0

/** Stands for a connection of the pool: in a transaction, or with one for each statement. */
export class SandboxConnection implements DatabaseConnection {
  readonly #transaction: SandboxTransaction
  readonly #who: string
  readonly #number = ++connections
  #isRunning = false
  #cancellations = 0

  /** What stands for its transaction, if it has begun one. */
  savepoint: SandboxSavepoint | undefined

  constructor (transaction: SandboxTransaction, who: string) {
    this.#transaction = transaction
    this.#who = who
  }

  async begin (settings: { readOnly: boolean }): Promise<void> {
    const savepoint = this.#newSavepoint()
    await savepoint.open(settings)
    this.savepoint = savepoint
  }

  /** The savepoint stands for the transaction of `owner`. */
  noteOwner (owner: object): void {
    this.#transaction.noteOwner(owner, this.savepoint!)
  }

  /** In MySQL, a savepoint takes the place of one that has its name, such as that of a context around. */
  nameOf (name: string): string {
    return `${name}_${this.#number}`
  }

  async command (make: Parameters<SandboxTransaction['command']>[0]): Promise<void> {
    await this.savepoint!.inTurn(this.#who, () => this.#transaction.command(make))
  }

  async executeQuery (query: Query, options?: QueryOptions): Promise<Result> {
    const cancellations = this.#cancellations
    const run: InTurn = async () => {
      if (this.#cancellations !== cancellations) throw withCallersLine(() => new FST_ORM_SANDBOX_ENDED(this.#who, 'it was cancelled while it waited for its turn'))
      return await this.#execute(query, options)
    }
    return this.savepoint === undefined ? await this.#executeAlone(query, run) : await this.savepoint.inTurn(this.#who, run)
  }

  /** All at once: a cursor would keep everybody else from the connection until its last row is read. */
  async * streamQuery (query: Query, chunkSize: number, options?: QueryOptions): AsyncGenerator<Result, undefined> {
    const { rows } = await this.executeQuery(query, options)
    for (let start = 0; start < rows.length; start += chunkSize) yield { rows: rows.slice(start, start + chunkSize) }
    return undefined
  }

  async collectSessionInfo (): Promise<void> {
    await this.#transaction.collectSessionInfo()
  }

  /** A statement that still waits for its turn fails when that comes. */
  async cancelQuery (control: Parameters<CancelQuery>[0]): Promise<void> {
    this.#cancellations++
    if (this.#isRunning) await this.#transaction.cancel(control)
  }

  /** A statement that fails would take the transaction along that it is no part of. */
  async #executeAlone ({ sql }: Query, run: InTurn): Promise<Result> {
    const savepoint = this.#newSavepoint()
    await savepoint.open({ readOnly: false })
    try {
      const result = await savepoint.inTurn(this.#who, run)
      await savepoint.commit({ hasWritten: !isRead(sql, this.#transaction.dialect) })
      return result
    } catch (error) {
      await savepoint.rollback()
      throw error
    }
  }

  async #execute (query: Query, options: QueryOptions): Promise<Result> {
    this.#isRunning = true
    try {
      return await this.#transaction.execute(this.#who, query, options)
    } finally {
      this.#isRunning = false
    }
  }

  #newSavepoint (): SandboxSavepoint {
    return new SandboxSavepoint(this.#transaction, this.#who, false)
  }
}

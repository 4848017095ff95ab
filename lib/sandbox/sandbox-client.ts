import type { Kysely } from '@mikro-orm/sql'
import { currentContext } from '../context/context.ts'
import type { ControlledTransaction, DatabaseConnection, Query, QueryOptions, Result } from '../drivers/pinned-transaction.ts'
import { SandboxSavepoint } from './sandbox-savepoint.ts'
import type { SandboxTransaction } from './sandbox-transaction.ts'
import { subclassOfKysely } from '../drivers/internals.ts'
import { isRead } from '../sql/statement.ts'

type Client = Kysely<any>
type KyselyProps = Extract<ConstructorParameters<typeof Kysely>[0], { executor: unknown }>
type CancelQuery = NonNullable<DatabaseConnection['cancelQuery']>

/**
 * A Kysely whose connections all are the one of a sandbox, and whose transactions are savepoints there. `who` uses it,
 * where that is no context.
 */
export function sandboxClient (transaction: SandboxTransaction, client: Client, who: string): Client {
  const SandboxClient = sandboxClientFor(client)
  return new SandboxClient(transaction, client, who)
}

const sandboxClientFor = subclassOfKysely(Base => class SandboxClient extends Base<any> {
  constructor (transaction: SandboxTransaction, client: Client, who: string) {
    const driver = new SandboxDriver(transaction, who)
    const dialect = { createIntrospector: () => transaction.introspection } as unknown as KyselyProps['dialect']
    super({
      config: { dialect },
      dialect,
      driver: driver as unknown as KyselyProps['driver'],
      executor: client.getExecutor().withConnectionProvider(driver)
    })
  }
})

/** The connection that a transaction has. */
export async function connectionOf (trx: ControlledTransaction): Promise<DatabaseConnection> {
  return await trx.getExecutor().provideConnection(async connection => connection)
}

/** What Kysely 0.29.6 asks of the driver of a client whose executor is given. */
class SandboxDriver {
  readonly #transaction: SandboxTransaction
  readonly #who: string

  constructor (transaction: SandboxTransaction, who: string) {
    this.#transaction = transaction
    this.#who = who
  }

  async provideConnection<T> (consumer: (connection: DatabaseConnection) => Promise<T>): Promise<T> {
    const connection = new SandboxConnection(this.#transaction, currentContext()?.name ?? this.#who)
    try {
      return await consumer(connection)
    } finally {
      await connection.savepoint?.rollback()
    }
  }

  async beginTransaction (connection: SandboxConnection, { accessMode }: { accessMode?: string }): Promise<void> {
    await connection.begin({ readOnly: accessMode === 'read only' })
  }

  async commitTransaction ({ savepoint }: SandboxConnection): Promise<void> {
    await savepoint!.commit()
  }

  async rollbackTransaction ({ savepoint }: SandboxConnection): Promise<void> {
    await savepoint!.rollback()
  }

  async savepoint (connection: SandboxConnection, name: string): Promise<void> {
    await connection.command(transaction => transaction.savepoint(name))
  }

  async rollbackToSavepoint (connection: SandboxConnection, name: string): Promise<void> {
    await connection.command(transaction => transaction.rollbackToSavepoint(name))
  }

  async releaseSavepoint (connection: SandboxConnection, name: string): Promise<void> {
    await connection.command(transaction => transaction.releaseSavepoint(name))
  }

  destroy (): Promise<never> {
    return Promise.reject(new Error('The Kysely of a sandbox cannot be destroyed: roll the sandbox back'))
  }
}

/** Stands for a connection of the pool: in a transaction, or with one for each statement. */
export class SandboxConnection implements DatabaseConnection {
  readonly #transaction: SandboxTransaction
  readonly #who: string
  #isRunning = false

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

  async command (make: Parameters<SandboxTransaction['command']>[0]): Promise<void> {
    await this.savepoint!.inTurn(this.#who, () => this.#transaction.command(make))
  }

  async executeQuery (query: Query, options?: QueryOptions): Promise<Result> {
    return this.savepoint === undefined
      ? await this.#executeAlone(query, options)
      : await this.savepoint.inTurn(this.#who, () => this.#execute(query, options))
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

  async cancelQuery (control: Parameters<CancelQuery>[0]): Promise<void> {
    if (this.#isRunning) await this.#transaction.cancel(control)
  }

  /** A statement that fails would take the transaction along that it is no part of. */
  async #executeAlone (query: Query, options?: QueryOptions): Promise<Result> {
    const savepoint = this.#newSavepoint()
    await savepoint.open({ readOnly: false })
    try {
      const result = await savepoint.inTurn(this.#who, () => this.#execute(query, options))
      await savepoint.commit({ hasWritten: !isRead(query.sql, this.#transaction.dialect) })
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

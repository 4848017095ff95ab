import type { Kysely } from '@mikro-orm/sql'
import { currentContext } from '../context/context.ts'
import { subclassOfKysely } from '../drivers/internals.ts'
import type { ControlledTransaction, DatabaseConnection } from '../drivers/pinned-transaction.ts'
import { SandboxConnection } from './sandbox-connection.ts'
import type { SandboxTransaction } from './sandbox-transaction.ts'

type Client = Kysely<any>
type KyselyProps = Extract<ConstructorParameters<typeof Kysely>[0], { executor: unknown }>

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
    const driver = new SandboxKyselyDriver(transaction, who)
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
class SandboxKyselyDriver {
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
    await connection.command(transaction => transaction.savepoint(connection.nameOf(name)))
  }

  async rollbackToSavepoint (connection: SandboxConnection, name: string): Promise<void> {
    await connection.command(transaction => transaction.rollbackToSavepoint(connection.nameOf(name)))
  }

  async releaseSavepoint (connection: SandboxConnection, name: string): Promise<void> {
    await connection.command(transaction => transaction.releaseSavepoint(connection.nameOf(name)))
  }

  destroy (): Promise<never> {
    return Promise.reject(new Error('The Kysely of a sandbox cannot be destroyed: roll the sandbox back'))
  }
}

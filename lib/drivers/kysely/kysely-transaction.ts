import type { AbstractSqlConnection, AbstractSqlPlatform, Kysely, SessionContext } from '@mikro-orm/sql'
import { giveUp } from './give-up.ts'
import { lease, type Lease } from '../../util/lease.ts'
import { logQuery, PinnedTransaction, platformOf, type ControlledTransaction, type DatabaseConnection, type Query, type TransactionSettings } from '../pinned-transaction.ts'

type Client = Kysely<any>
/** What an engine needs besides. */
interface Additions {
  /** Does what the connection needs before and after the transaction. */
  surround?: Surround | undefined
  /** Sent as the first statement of the transaction. */
  afterBegin?: Query | undefined
}
type Surround = (ormConnection: AbstractSqlConnection, client: Client, use: (client: Client) => Promise<void>) => Promise<void>
type BeginOptions = Parameters<AbstractSqlPlatform['getBeginTransactionSQL']>[0]

/** What `AbstractSqlConnection.begin()` uses and does not publish (MikroORM 7.2.1): it cannot be told which connection to use. */
interface ConnectionInternals {
  applySessionContext (trx: ControlledTransaction, sessionContext: SessionContext): Promise<void>
}

/** A transaction of Kysely's, whatever the database, its settings and who is told of it. */
export class KyselyTransaction extends PinnedTransaction {
  /** For whoever wants to run statements in it by himself. */
  readonly trx: ControlledTransaction
  readonly #pinned: Lease<Client>

  private constructor (ormConnection: AbstractSqlConnection, pinned: Lease<Client>, connection: DatabaseConnection, trx: ControlledTransaction) {
    super(ormConnection, connection)
    this.#pinned = pinned
    this.trx = trx
  }

  /** Calls `arrived` when it has a connection; if that throws, the connection goes back, and nothing begins. */
  static async begin (ormConnection: AbstractSqlConnection, settings: TransactionSettings, arrived: () => void, { surround, afterBegin }: Additions = {}): Promise<KyselyTransaction> {
    await ormConnection.ensureConnection()
    const pinned = await lease<Client>(use => ormConnection.getClient().connection().execute(client => {
      arrived()
      return surround === undefined ? use(client) : surround(ormConnection, client, use)
    }))
    // now: where `BEGIN` fails, its client lends its connection to nobody any more (kysely-org/kysely#1990)
    const connection = await pinned.resource.getExecutor().provideConnection(async connection => connection)
    let trx: ControlledTransaction | undefined
    try {
      trx = await startTransaction(pinned.resource, settings)
      if (afterBegin !== undefined) await connection.executeQuery(afterBegin)
      for (const sql of platformOf(ormConnection).getBeginTransactionSQL(settings as BeginOptions)) logQuery(ormConnection, sql)
      if (settings.sessionContext !== undefined) {
        await (ormConnection as unknown as ConnectionInternals).applySessionContext(trx, settings.sessionContext)
      }
      return new KyselyTransaction(ormConnection, pinned, connection, trx)
    } catch (error) {
      const failure = trx === undefined ? error : await trx.rollback().execute().then(() => undefined, error => error)
      if (failure !== undefined) await giveUp(failure, ormConnection.getClient(), connection)
      await pinned.release()
      throw error
    }
  }

  savepoint (name: string): Promise<unknown> {
    return this.trx.savepoint(name).execute()
  }

  releaseSavepoint (name: string): Promise<unknown> {
    return this.trx.releaseSavepoint(name as never).execute()
  }

  rollbackToSavepoint (name: string): Promise<unknown> {
    return this.trx.rollbackToSavepoint(name as never).execute()
  }

  protected sendCommit (): Promise<unknown> {
    return this.trx.commit().execute()
  }

  protected sendRollback (): Promise<unknown> {
    return this.trx.rollback().execute()
  }

  protected async giveBack (error?: unknown): Promise<void> {
    if (error !== undefined) await giveUp(error, this.ormConnection.getClient(), this.connection)
    await this.#pinned.release()
  }
}

function startTransaction (client: Client, { isolationLevel, readOnly }: TransactionSettings): Promise<ControlledTransaction> {
  let builder = client.startTransaction()
  if (isolationLevel !== undefined) builder = builder.setIsolationLevel(isolationLevel)
  if (readOnly === true) builder = builder.setAccessMode('read only')
  return builder.execute()
}

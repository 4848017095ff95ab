import type { AbstractSqlConnection } from '@mikro-orm/sql'
import { FST_ORM_IMPLICIT_COMMIT, FST_ORM_SANDBOX_ENDED, FST_ORM_SANDBOX_REFUSED, withCallersLine } from '../errors.ts'
import { cancelStatement } from '../drivers/kysely/connections.ts'
import { KyselyTransaction } from '../drivers/kysely/kysely-transaction.ts'
import type { DatabaseConnection, PinnedTransaction, Query, QueryOptions, Result } from '../drivers/pinned-transaction.ts'
import { RunningStatements } from '../transaction/running-statements.ts'
import { viewOf } from './internals.ts'
import { SandboxQueue } from './sandbox-queue.ts'
import { rulesOf } from './sandbox-rules.ts'
import { SandboxSavepoint, type SavepointHost } from './sandbox-savepoint.ts'
import type { SavepointRules } from '../drivers/savepoint-rules.ts'
import { dialectOf, type Dialect } from '../drivers/dialect.ts'
import { endsATransaction, implicitCommitOf, shorten } from '../sql/statement.ts'

type Client = ReturnType<AbstractSqlConnection['getClient']>

/** The transaction of a sandbox on one database, which is rolled back in the end, and its one connection. */
export class SandboxTransaction implements SavepointHost {
  readonly root: SandboxSavepoint = new SandboxSavepoint(this, 'the sandbox', true)
  readonly rules: SavepointRules
  readonly dialect: Dialect
  readonly #client: Client
  readonly #pinned: KyselyTransaction
  readonly #running = new RunningStatements()
  readonly #queue = new SandboxQueue(this.root)
  readonly #ofContexts = new WeakMap<object, SandboxSavepoint>()
  /** Why nothing more can be done in it. */
  #isOver: string | undefined

  private constructor (client: Client, dialect: Dialect, rules: SavepointRules, pinned: KyselyTransaction) {
    this.#client = client
    this.#pinned = pinned
    this.rules = rules
    this.dialect = dialect
  }

  /** On a connection of the pool of `client`. If `arrived` throws when there is one, it goes back. */
  static async begin (real: AbstractSqlConnection, client: Client, arrived: () => void): Promise<SandboxTransaction> {
    const ormConnection = viewOf(real, { getClient: () => client })
    const pinned = await KyselyTransaction.begin(ormConnection, {}, arrived)
    return new SandboxTransaction(client, dialectOf(real.getPlatform()), await rulesOf(ormConnection, pinned.trx), pinned)
  }

  get introspection (): Client['introspection'] {
    return this.#pinned.trx.introspection
  }

  /** What stands for the transaction of that context. */
  savepointOf (context: object): SandboxSavepoint | undefined {
    return this.#ofContexts.get(context)
  }

  noteOwner (context: object, savepoint: SandboxSavepoint): void {
    this.#ofContexts.set(context, savepoint)
  }

  /** The innermost savepoint that is open. */
  get innermost (): SandboxSavepoint {
    return this.#queue.innermost
  }

  push (savepoint: SandboxSavepoint): void {
    this.#queue.push(savepoint)
  }

  /** For a savepoint and all that are inside of it, the innermost first: what a rollback does not take back. */
  async cleanUp (savepoint: SandboxSavepoint): Promise<void> {
    for (const left of this.#queue.open) if (left === savepoint || left.isInside(savepoint)) await left.cleanUp()
  }

  /** Leaves a savepoint, and all that are inside of it: who still waits there is told. */
  popTo (savepoint: SandboxSavepoint): void {
    this.#queue.popTo(savepoint)
    this.#queue.failThoseInside(who => endedError(who, GONE))
  }

  /** Runs `task` when it is its turn, in the savepoint that `where` names. Rejects with `FST_ORM_SANDBOX_ENDED` or `…_WAIT`. */
  async inTurn<T> (who: string, where: () => SandboxSavepoint, task: () => Promise<T>): Promise<T> {
    this.#assertOpen(who)
    if (!where().isOpen) throw endedError(who, GONE)
    return await this.#queue.run(who, where, task)
  }

  /** In one's turn. Throws `FST_ORM_SANDBOX_REFUSED` for what would end the sandbox. */
  async execute (who: string, query: Query, options: QueryOptions): Promise<Result> {
    if (endsATransaction(query.sql, this.dialect)) throw withCallersLine(() => new FST_ORM_SANDBOX_REFUSED(who, shorten(query.sql)))
    if (implicitCommitOf(query.sql, this.dialect) !== undefined) throw withCallersLine(() => new FST_ORM_IMPLICIT_COMMIT(who, shorten(query.sql)))
    this.#assertOpen(who)
    return await this.#running.run(this.#pinned.connection, connection => connection.executeQuery(query, options))
  }

  /** A command of the transaction itself, in one's turn. */
  async command (run: (transaction: PinnedTransaction) => Promise<unknown>): Promise<void> {
    this.#assertOpen('a transaction')
    await run(this.#pinned)
  }

  async collectSessionInfo (): Promise<void> {
    await this.#pinned.connection.collectSessionInfo?.()
  }

  /** Cancels the statement that is running. */
  async cancel (...args: Parameters<NonNullable<DatabaseConnection['cancelQuery']>>): Promise<void> {
    await this.#pinned.connection.cancelQuery?.(...args)
  }

  /** The database has ended it by itself. */
  lose (): void {
    this.#finish('a statement has ended the transaction of its sandbox')
  }

  /** Cancels what is running, rolls everything back, and gives the connection back. Rejects if the rollback has failed. */
  async end (): Promise<void> {
    this.#finish('its sandbox has been rolled back')
    this.#running.cancel((connection, ended) => cancelStatement(this.#client, connection, ended))
    await this.#running.done
    for (const savepoint of this.#queue.open) {
      savepoint.close()
      await savepoint.cleanUp().catch(() => {}) // the rollback says whether the connection is well
    }
    await this.#pinned.rollback()
  }

  #finish (why: string): void {
    this.#isOver ??= why
    this.#queue.failAll(who => endedError(who, why))
  }

  #assertOpen (who: string): void {
    if (this.#isOver !== undefined) throw endedError(who, this.#isOver)
  }
}

const GONE = 'the transaction that it is part of has been rolled back'

function endedError (who: string, why: string): Error {
  return withCallersLine(() => new FST_ORM_SANDBOX_ENDED(who, why))
}

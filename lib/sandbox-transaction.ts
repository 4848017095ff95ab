import type { AbstractSqlConnection } from '@mikro-orm/sql'
import { FST_ORM_SANDBOX_ENDED, FST_ORM_SANDBOX_WAIT, withCallersLine } from './errors.ts'
import { PinnedTransaction, type ControlledTransaction, type DatabaseConnection, type Query, type QueryOptions, type Result } from './pinned-transaction.ts'
import { RunningStatements } from './running-statements.ts'
import { viewOf } from './sandbox-connection.ts'
import { rulesOf, type TransactionRules } from './sandbox-rules.ts'
import { SandboxSavepoint } from './sandbox-savepoint.ts'

type Client = ReturnType<AbstractSqlConnection['getClient']>

export interface Wait {
  /** Rejects when the wait leads nowhere. */
  failed: Promise<never>
  /** Throws if it is too late by now. */
  assertInTime (): void
}

/** For how long nothing may happen on the connection while somebody waits for it. */
const STUCK_MS = 4000
const CHECK_EVERY_MS = 1000

/** The transaction of a sandbox on one database, which is rolled back in the end, and its one connection. */
export class SandboxTransaction {
  readonly root: SandboxSavepoint = new SandboxSavepoint(this, 'the sandbox', true)
  readonly rules: TransactionRules
  readonly #client: Client
  readonly #pinned: PinnedTransaction
  readonly #connection: DatabaseConnection
  readonly #running = new RunningStatements()
  readonly #open = new Set<SandboxSavepoint>()
  readonly #ofContexts = new WeakMap<object, SandboxSavepoint>()
  #noted = Promise.withResolvers<undefined>()
  #isBusy = false
  #lastActive = 0
  #hasEnded = false

  private constructor (client: Client, pool: AbstractSqlConnection, pinned: PinnedTransaction, connection: DatabaseConnection) {
    this.#client = client
    this.#pinned = pinned
    this.#connection = connection
    this.rules = rulesOf(pool, pinned.trx)
  }

  /** On a connection of the pool of `client`. If `arrived` throws when there is one, it goes back. */
  static async begin (real: AbstractSqlConnection, client: Client, arrived: () => void): Promise<SandboxTransaction> {
    const pool = viewOf(real, { getClient: () => client })
    const pinned = await PinnedTransaction.begin(pool, {}, arrived)
    const connection = await pinned.provideConnection(async connection => connection)
    return new SandboxTransaction(client, pool, pinned, connection)
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
    this.#noted.resolve(undefined)
    this.#noted = Promise.withResolvers()
  }

  /** Resolves when a context has begun. */
  async untilOneBegins (): Promise<undefined> {
    return await this.#noted.promise
  }

  add (savepoint: SandboxSavepoint): void {
    this.#open.add(savepoint)
  }

  delete (savepoint: SandboxSavepoint): void {
    this.#open.delete(savepoint)
  }

  /** In one's turn. */
  async execute (query: Query, options: QueryOptions): Promise<Result> {
    return await this.#use(() => this.#running.run(this.#connection, connection => connection.executeQuery(query, options)))
  }

  /** A command of the transaction itself, in one's turn. */
  async command (make: (trx: ControlledTransaction) => { execute (): Promise<unknown> }): Promise<void> {
    await this.#use(() => make(this.#pinned.trx).execute())
  }

  async collectSessionInfo (): Promise<void> {
    await this.#connection.collectSessionInfo?.()
  }

  /** Cancels the statement that is running. */
  async cancel (...args: Parameters<NonNullable<DatabaseConnection['cancelQuery']>>): Promise<void> {
    await this.#connection.cancelQuery?.(...args)
  }

  /** Throws `FST_ORM_SANDBOX_ENDED`. */
  assertOpen (who: string): void {
    if (this.#hasEnded) throw withCallersLine(() => new FST_ORM_SANDBOX_ENDED(who))
  }

  startWaiting (who: string): Wait {
    const since = performance.now()
    const failed = Promise.withResolvers<never>()
    let error: Error | undefined
    const check = (): void => {
      if (this.#isBusy || performance.now() - Math.max(since, this.#lastActive) < STUCK_MS) return
      clearInterval(timer)
      const [holder] = [this.root, ...this.#open].slice(-1)
      error = new FST_ORM_SANDBOX_WAIT(who, holder!.holder, String(STUCK_MS / 1000))
      failed.reject(error)
    }
    const timer = setInterval(check, CHECK_EVERY_MS)
    return {
      failed: failed.promise,
      assertInTime: () => {
        clearInterval(timer)
        if (error !== undefined) throw error
        this.assertOpen(who)
      }
    }
  }

  /** Cancels what is running, rolls everything back, and gives the connection back. Rejects if the rollback has failed. */
  async end (): Promise<void> {
    this.#hasEnded = true
    this.#running.cancel(this.#client)
    await this.#running.cancelled
    await this.#running.done
    for (const savepoint of this.#open) savepoint.leave()
    await this.#pinned.rollback()
  }

  async #use<T> (task: () => Promise<T>): Promise<T> {
    this.assertOpen('a statement')
    this.#isBusy = true
    try {
      return await task()
    } finally {
      this.#isBusy = false
      this.#lastActive = performance.now()
    }
  }
}

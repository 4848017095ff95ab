import type { EntityManager } from '@mikro-orm/core'
import type { Kysely } from '@mikro-orm/sql'
import type { DeferredTransaction } from './deferred-transaction.ts'
import { addCallersLine } from '../errors.ts'
import type { Query } from '../drivers/pinned-transaction.ts'
import { withLineOfFlush } from './callers-line.ts'
import { RoutedConnection } from './routed-connection.ts'
import { Savepoint } from './savepoint.ts'
import { subclassOfKysely } from '../drivers/internals.ts'

type Client = Kysely<any>
type KyselyProps = Extract<ConstructorParameters<typeof Kysely>[0], { executor: unknown }>

interface Command<T> {
  execute (): Promise<T>
}

const DEFERRED: unique symbol = Symbol('fastify-context-orm.deferred')

/**
 * A deferred transaction as MikroORM and users see it: what `em.getTransactionContext()`, `em.getKysely()` and query
 * builders use, with the methods of Kysely's `ControlledTransaction` that MikroORM 7.2.1 calls. Compiling, plugins and
 * cancelling remain Kysely's: only the connection that a statement gets is chosen anew for each.
 */
export interface DeferredKysely extends Client {
  readonly [DEFERRED]: true
  /** Which part of the transaction this is a view of. */
  readonly part: Savepoint
  isOf (transaction: DeferredTransaction): boolean
  /** Runs a flush. Half of what it has to write may be written when it fails, and must not be committed. */
  runFlush (flush: () => Promise<void>): Promise<void>
}

type DeferredKyselyClass = new (transaction: DeferredTransaction, client: Client, savepoint: Savepoint) => DeferredKysely

export function deferredKysely (transaction: DeferredTransaction, client: Client, savepoint: Savepoint): DeferredKysely {
  const DeferredKysely = deferredKyselyFor(client)
  return new DeferredKysely(transaction, client, savepoint)
}

/** What the EntityManager has for its transaction, if that is a deferred one. */
export function deferredKyselyIn (em: EntityManager): DeferredKysely | undefined {
  const context: object | undefined = em.getTransactionContext()
  return context !== undefined && DEFERRED in context ? context as DeferredKysely : undefined
}

const deferredKyselyFor = subclassOfKysely((Base): DeferredKyselyClass => class DeferredKysely extends Base<any> {
  readonly #transaction: DeferredTransaction
  readonly #client: Client
  readonly #hasPlugins: boolean
  readonly [DEFERRED] = true
  readonly part: Savepoint

  constructor (transaction: DeferredTransaction, client: Client, savepoint: Savepoint) {
    super({
      config: { dialect: NO_DIALECT },
      dialect: NO_DIALECT,
      driver: NO_DRIVER,
      executor: client.getExecutor().withConnectionProvider({
        provideConnection: consumer => consumer(new RoutedConnection(transaction, savepoint))
      })
    })
    this.#transaction = transaction
    this.#client = client
    this.#hasPlugins = client.getExecutor().plugins.length > 0
    this.part = savepoint
  }

  /** Straight to the connection, where Kysely would have nothing to do but pass it on. */
  override executeQuery (...[query, options]: Parameters<Client['executeQuery']>): Promise<any> {
    if (this.#hasPlugins || options?.signal !== undefined || !isCompiled(query)) return super.executeQuery(query as never, options)
    return this.#transaction.execute(query, this.part, undefined, connection => connection.executeQuery(query))
  }

  override get isTransaction (): boolean {
    return true
  }

  get isRolledBack (): boolean {
    return this.#transaction.closed === 'rollback'
  }

  override get introspection (): Client['introspection'] {
    if (!this.#transaction.isOpen) return this.#client.introspection
    // of Kysely 0.29.6, whatever the database: it takes the Kysely that it asks
    return Reflect.construct(this.#client.introspection.constructor, [this.withoutPlugins()])
  }

  isOf (transaction: DeferredTransaction): boolean {
    return this.#transaction === transaction
  }

  async runFlush (flush: () => Promise<void>): Promise<void> {
    const { statistics } = this.#transaction
    const { statements } = statistics
    try {
      await withLineOfFlush(flush)
    } catch (error) {
      if (statistics.statements !== statements) this.#transaction.noteFailedFlush(error)
      addCallersLine(error)
      throw error
    }
  }

  /** What stands for the savepoint is a view of the same transaction. */
  savepoint (name: string): Command<DeferredKysely> {
    return command(async () => {
      const savepoint = new Savepoint(this.part)
      await this.#transaction.openSavepoint(savepoint, transaction => transaction.savepoint(savepoint.nameAs(name)))
      return new DeferredKysely(this.#transaction, this.#client, savepoint)
    })
  }

  releaseSavepoint (): Command<void> {
    return command(() => this.#transaction.releaseSavepoint(this.part, transaction => transaction.releaseSavepoint(this.part.name)))
  }

  rollbackToSavepoint (): Command<void> {
    return command(() => this.#transaction.rollbackToSavepoint(this.part, transaction => transaction.rollbackToSavepoint(this.part.name)))
  }

  commit (): Command<boolean> {
    return command(() => this.#transaction.commit({ last: false }))
  }

  rollback (): Command<void> {
    return command(() => this.#transaction.rollback({ last: false }))
  }

  override transaction (): never {
    throw inTransactionAlready('transaction()')
  }

  override startTransaction (): never {
    throw inTransactionAlready('startTransaction()')
  }

  override connection (): never {
    throw inTransactionAlready('connection()')
  }

  override destroy (): never {
    throw new Error('The Kysely of a context cannot be destroyed: close the MikroORM')
  }
})

function isCompiled (query: object): query is Query {
  return !('compile' in query)
}

function command<T> (execute: () => Promise<T>): Command<T> {
  return { execute }
}

function inTransactionAlready (method: string): Error {
  return new Error(`The Kysely of a context is in its transaction already, and ${method} would begin another: use em.transactional(), which makes a savepoint`)
}

/** Kysely wants both. They are reached only through copies that `withPlugin()` and its kin make. */
const NO_DIALECT = {} as KyselyProps['dialect']
const NO_DRIVER = {
  beginTransaction () {
    return Promise.reject(inTransactionAlready('transaction()'))
  },
  destroy () {
    return Promise.reject(new Error('The Kysely of a context cannot be destroyed: close the MikroORM'))
  }
} as unknown as KyselyProps['driver']

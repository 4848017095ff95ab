import { EventType, TransactionEventBroadcaster, type EntityManager, type TransactionEventType } from '@mikro-orm/core'
import type { Kysely } from '@mikro-orm/sql'
import { AsyncLocalStorage } from 'node:async_hooks'
import type { TransactionOwner } from './transaction-owner.ts'

/** The transaction whose start the caller has been told of, and which waits for the caller. */
const starting = new AsyncLocalStorage<TransactionEvents>()

/** Tells MikroORM's subscribers of a context's transaction. Methods give `undefined` where there is nobody to tell. */
export class TransactionEvents {
  readonly #em: EntityManager
  readonly #owner: TransactionOwner
  /** What subscribers may run statements of their own with. */
  readonly #view: () => Kysely<any>

  constructor (em: EntityManager, owner: TransactionOwner, view: () => Kysely<any>) {
    this.#em = em
    this.#owner = owner
    this.#view = view
  }

  /** Whether the caller is a subscriber to the start of this transaction: it must not wait for the start. */
  get isStarting (): boolean {
    return starting.getStore() === this
  }

  get hasSubscribers (): boolean {
    return this.#em.getEventManager().getSubscribers().size > 0
  }

  beforeStart (): Promise<void> | undefined {
    return this.#sendOfStart(EventType.beforeTransactionStart)
  }

  afterStart (): Promise<void> | undefined {
    return this.#sendOfStart(EventType.afterTransactionStart, this.#view())
  }

  beforeCommit (): Promise<void> | undefined {
    return this.hasSubscribers ? this.#send(EventType.beforeTransactionCommit, this.#view()) : undefined
  }

  afterCommit (): Promise<void> | undefined {
    return this.#sendSafely(EventType.afterTransactionCommit)
  }

  beforeRollback (): Promise<void> | undefined {
    return this.#sendSafely(EventType.beforeTransactionRollback)
  }

  afterRollback (): Promise<void> | undefined {
    return this.#sendSafely(EventType.afterTransactionRollback)
  }

  async #send (event: TransactionEventType, view: Kysely<any> | undefined, context?: { topLevelTransaction: boolean }): Promise<void> {
    await new TransactionEventBroadcaster(this.#em, context).dispatchEvent(event, view as never)
  }

  #sendOfStart (event: TransactionEventType, view?: Kysely<any>): Promise<void> | undefined {
    if (!this.hasSubscribers) return undefined
    return starting.run(this, () => this.#send(event, view, { topLevelTransaction: true }))
  }

  /** The outcome is decided: a subscriber that throws does not change it. */
  #sendSafely (event: TransactionEventType): Promise<void> | undefined {
    if (!this.hasSubscribers) return undefined
    return this.#send(event, this.#view()).catch(error => {
      this.#owner.report(error, `${this.#owner.name}: a subscriber to ${event} has failed`)
    })
  }
}

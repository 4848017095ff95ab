import { EventType, TransactionEventBroadcaster, type EntityManager, type TransactionEventType } from '@mikro-orm/core'
import { AsyncLocalStorage } from 'node:async_hooks'
import type { ControlledTransaction } from './pinned-transaction.ts'
import type { TransactionOwner } from './transaction-owner.ts'

/** The transaction whose start the caller has been told of, and which waits for the caller. */
const starting = new AsyncLocalStorage<TransactionEvents>()

/** Tells MikroORM's subscribers of a context's transaction. Methods give `undefined` where there is nobody to tell. */
export class TransactionEvents {
  readonly #em: EntityManager
  readonly #owner: TransactionOwner

  constructor (em: EntityManager, owner: TransactionOwner) {
    this.#em = em
    this.#owner = owner
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

  afterStart (trx?: ControlledTransaction): Promise<void> | undefined {
    return this.#sendOfStart(EventType.afterTransactionStart, trx)
  }

  beforeCommit (trx?: ControlledTransaction): Promise<void> | undefined {
    return this.hasSubscribers ? this.#send(EventType.beforeTransactionCommit, trx) : undefined
  }

  afterCommit (trx?: ControlledTransaction): Promise<void> | undefined {
    return this.#sendSafely(EventType.afterTransactionCommit, trx)
  }

  beforeRollback (trx?: ControlledTransaction): Promise<void> | undefined {
    return this.#sendSafely(EventType.beforeTransactionRollback, trx)
  }

  afterRollback (trx?: ControlledTransaction): Promise<void> | undefined {
    return this.#sendSafely(EventType.afterTransactionRollback, trx)
  }

  async #send (event: TransactionEventType, trx?: ControlledTransaction, context?: { topLevelTransaction: boolean }): Promise<void> {
    await new TransactionEventBroadcaster(this.#em, context).dispatchEvent(event, trx)
  }

  #sendOfStart (event: TransactionEventType, trx?: ControlledTransaction): Promise<void> | undefined {
    if (!this.hasSubscribers) return undefined
    return starting.run(this, () => this.#send(event, trx, { topLevelTransaction: true }))
  }

  /** Of what is decided: a subscriber that throws changes nothing about it. */
  #sendSafely (event: TransactionEventType, trx?: ControlledTransaction): Promise<void> | undefined {
    if (!this.hasSubscribers) return undefined
    return this.#send(event, trx).catch(error => {
      this.#owner.report(error, `${this.#owner.name}: a subscriber to ${event} has failed`)
    })
  }
}

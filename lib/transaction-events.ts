import { EventType, TransactionEventBroadcaster, type EntityManager, type TransactionEventType } from '@mikro-orm/core'
import { AsyncLocalStorage } from 'node:async_hooks'
import type { ControlledTransaction } from './pinned-transaction.ts'
import type { TransactionOwner } from './transaction-owner.ts'

/** The transaction whose start the caller has been told of, and which waits for the caller. */
const starting = new AsyncLocalStorage<TransactionEvents>()

/** Tells MikroORM's subscribers of a context's transaction. */
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

  async beforeStart (): Promise<void> {
    await starting.run(this, () => this.#send(EventType.beforeTransactionStart, undefined, { topLevelTransaction: true }))
  }

  async afterStart (trx: ControlledTransaction): Promise<void> {
    await starting.run(this, () => this.#send(EventType.afterTransactionStart, trx, { topLevelTransaction: true }))
  }

  async beforeCommit (trx: ControlledTransaction): Promise<void> {
    await this.#send(EventType.beforeTransactionCommit, trx)
  }

  async afterCommit (trx: ControlledTransaction): Promise<void> {
    await this.#sendSafely(EventType.afterTransactionCommit, trx)
  }

  async beforeRollback (trx: ControlledTransaction): Promise<void> {
    await this.#sendSafely(EventType.beforeTransactionRollback, trx)
  }

  async afterRollback (trx: ControlledTransaction): Promise<void> {
    await this.#sendSafely(EventType.afterTransactionRollback, trx)
  }

  async #send (event: TransactionEventType, trx?: ControlledTransaction, context?: { topLevelTransaction: boolean }): Promise<void> {
    if (this.#em.getEventManager().getSubscribers().size === 0) return
    await new TransactionEventBroadcaster(this.#em, context).dispatchEvent(event, trx)
  }

  /** Of what is decided: a subscriber that throws changes nothing about it. */
  async #sendSafely (event: TransactionEventType, trx: ControlledTransaction): Promise<void> {
    try {
      await this.#send(event, trx)
    } catch (error) {
      this.#owner.report(error, `${this.#owner.name}: a subscriber to ${event} has failed`)
    }
  }
}

import { AsyncLocalStorage } from 'node:async_hooks'
import { hold, type Held } from './hold.ts'
import { Turns } from './turns.ts'

/** The savepoint that the caller runs in. */
const inside = new AsyncLocalStorage<Savepoint>()

/**
 * What an `em.transactional()` inside a context opens; without a parent, the transaction itself.
 *
 * Those of one parent take turns: MikroORM 7.2.1 numbers savepoints by their depth, and the end of one of two that are
 * open side by side would be the end of the other.
 */
export class Savepoint {
  parent: Savepoint | undefined
  readonly #children = new Turns()
  #turn: Held<void> | undefined

  isOpen = false
  /** The transaction's failure when the savepoint was made: what failed before it, going back to it does not mend. */
  failureBefore: unknown
  /** Going back to it would take along what was written by somebody else. */
  hasForeignWrites = false

  constructor (parent?: Savepoint) {
    this.parent = parent
  }

  /** Whether it is `other`, or lies inside it. */
  isWithin (other: Savepoint): boolean {
    return this === other || this.parent?.isWithin(other) === true
  }

  /** Runs what the savepoint is made for. */
  run<T> (callback: () => T): T {
    return inside.run(this, callback)
  }

  /** Waits until the savepoints are left that its parent has open. */
  async enter (): Promise<void> {
    // one that is open waits for the caller, who has come by an EntityManager from outside of it
    let around = inside.getStore()
    while (around?.isOpen === false) around = around.parent
    if (around?.isWithin(this.parent!)) this.parent = around
    this.#turn = await hold<void>(use => this.parent!.#children.run(use))
  }

  leave (): void {
    this.isOpen = false
    this.#turn!.release()
  }
}

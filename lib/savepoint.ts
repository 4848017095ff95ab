import { hold } from './hold.ts'
import { Turns } from './turns.ts'

/**
 * What an `em.transactional()` inside a context opens; without a parent, the transaction itself.
 *
 * Those of one parent take turns: MikroORM 7.2.1 numbers savepoints by their depth, and the end of one of two that are
 * open side by side would be the end of the other.
 */
export class Savepoint {
  readonly parent: Savepoint | undefined
  readonly #children = new Turns()
  #leave = (): void => {}

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

  /** Waits until the savepoints are left that its parent has open. */
  async enter (): Promise<void> {
    const turn = await hold<void>(use => this.parent!.#children.run(use))
    this.#leave = turn.release
  }

  leave (): void {
    this.#leave()
  }
}

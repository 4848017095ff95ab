import { AsyncLocalStorage } from 'node:async_hooks'
import { lease, type Lease } from '../util/lease.ts'
import type { Dialect } from '../drivers/dialect.ts'
import { isRead } from '../sql/statement.ts'
import { Mutex } from '../util/mutex.ts'

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
  #children: Mutex | undefined
  #turn: Lease<void> | undefined

  isOpen: boolean
  /** The transaction's failure when the savepoint was made: what failed before it, going back to it does not mend. */
  failureBefore: { readonly what: string, readonly error: unknown } | undefined
  /** Going back to it would take along what was written by somebody else. */
  hasForeignWrites = false

  constructor (parent?: Savepoint) {
    this.parent = parent
    this.isOpen = parent === undefined
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
  async lock (): Promise<void> {
    const parent = innermostOpen(this.parent)
    const around = innermostOpen(inside.getStore())
    // one that is open waits for the caller, who has come by an EntityManager from outside of it
    this.parent = around?.isWithin(parent!) === true ? around : parent
    this.#turn = await lease<void>(use => (this.parent!.#children ??= new Mutex()).run(use))
  }

  unlock (): void {
    this.isOpen = false
    this.#turn!.release()
  }
}

/** Whoever goes on after an `em.transactional()` has ended is in what is around it. */
function innermostOpen (savepoint: Savepoint | undefined): Savepoint | undefined {
  while (savepoint?.isOpen === false) savepoint = savepoint.parent
  return savepoint
}

/** Those of one transaction that have been asked for, and not left. */
export class OpenSavepoints {
  readonly #dialect: Dialect
  #open = NONE

  constructor (dialect: Dialect) {
    this.#dialect = dialect
  }

  get isEmpty (): boolean {
    return this.#open.size === 0
  }

  /** One that the caller is not inside of. */
  get hasOneBeside (): boolean {
    for (const savepoint of this.#open) if (inside.getStore()?.isWithin(savepoint) !== true) return true
    return false
  }

  add (savepoint: Savepoint): void {
    if (this.#open === NONE) this.#open = new Set()
    this.#open.add(savepoint)
  }

  delete (savepoint: Savepoint): void {
    this.#open.delete(savepoint)
  }

  clear (): void {
    this.#open = NONE
  }

  /** A statement of `part` is run. */
  note (sql: string, part: Savepoint): void {
    for (const savepoint of this.#open) {
      if (savepoint.isOpen && !part.isWithin(savepoint) && !isRead(sql, this.#dialect)) savepoint.hasForeignWrites = true
    }
  }
}

/** Most scopes have no savepoint, and do without a set of their own. */
const NONE = new Set<Savepoint>()

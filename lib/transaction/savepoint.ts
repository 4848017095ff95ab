import { AsyncLocalStorage } from 'node:async_hooks'
import { lease, type Lease } from '../util/lease.ts'
import type { Dialect } from '../drivers/dialect.ts'
import { isRead } from '../sql/statement.ts'
import { Mutex } from '../util/mutex.ts'

/** The savepoint that the caller runs in. */
const inside = new AsyncLocalStorage<Savepoint>()
/** The savepoint whose hooks the caller is one of, which run after its rollback. */
const inHook = new AsyncLocalStorage<Savepoint>()

const TAKEN_ALONG = 'An em.transactional() was rolled back, and took along what was written outside of it in the meantime. Give parallel work a context of its own: runInContext()'

/** Why nothing more is sent in a transaction. */
export interface Failure {
  /** A statement, or what else was done. */
  readonly what: string
  readonly error: unknown
  /** No savepoint is from before it: the database may have ended the transaction. */
  readonly isFinal?: boolean
}

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
  #name: string | undefined
  /** The transaction's failure when the savepoint was made: what failed before it, going back to it does not mend. */
  #failureBefore: Failure | undefined
  /** Going back to it would take along what was written by somebody else. */
  hasForeignWrites = false
  #isTakenBack = false

  constructor (parent?: Savepoint) {
    this.parent = parent
    this.isOpen = parent === undefined
  }

  /** In MySQL, a savepoint takes the place of one that has its name, also from inside of it: MikroORM 7.2.1 has one name for a depth. */
  nameAs (name: string): string {
    let isTaken = false
    for (let { parent } = this as Savepoint; parent !== undefined && !isTaken; { parent } = parent) isTaken = parent.#name === name
    this.#name = name
    return isTaken ? this.nameAs(`${name}_`) : name
  }

  get name (): string {
    return this.#name!
  }

  /** Whether it is `other`, or lies inside it. */
  isWithin (other: Savepoint): boolean {
    return this === other || this.parent?.isWithin(other) === true
  }

  /** Runs what the savepoint is made for. */
  run<T> (callback: () => T): T {
    return inside.run(this, callback)
  }

  /** Runs what waited for its rollback, and may still write where it was. */
  runHooks<T> (callback: () => T): T {
    return inHook.run(this, callback)
  }

  /** It is made, in a transaction that may have failed meanwhile. To be told at once: the statement that comes next is inside. */
  open (failure: Failure | undefined): void {
    this.#failureBefore = failure
    this.isOpen = true
  }

  /** The transaction has gone back to it. To be told at once: the statement that comes next is outside. Returns what has still failed. */
  takeBack (): Failure | undefined {
    this.isOpen = false
    this.#isTakenBack = true
    return this.hasForeignWrites ? { what: 'em.transactional()', error: new Error(TAKEN_ALONG) } : this.#failureBefore
  }

  /** It was gone back to, or one around it: what still comes from it would stay. */
  get isTakenBack (): boolean {
    return (this.#isTakenBack && inHook.getStore() !== this) || this.parent?.isTakenBack === true
  }

  /** Waits until the savepoints are left that its parent has open. */
  async lock (): Promise<void> {
    const parent = innermostOpen(this.parent)
    const around = innermostOpen(inside.getStore())
    // an open savepoint already awaits this caller; queueing behind it would deadlock
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

import { AsyncLocalStorage } from 'node:async_hooks'
import type { Dialect } from '../drivers/dialect.ts'
import { FST_ORM_CONTEXT_ENDED, FST_ORM_TRANSACTION_FAILED, withCallersLine } from '../errors.ts'
import { isRead, shorten } from '../sql/statement.ts'
import { Mutex } from '../util/mutex.ts'
import { runningAtomic } from './settling-rules.ts'

const LOST = 'an atomic() was rolled back, and took along what was written beside it. Give parallel work a context of its own: runInContext()'

interface Run {
  readonly work: AtomicWork
  readonly outer: Run | undefined
  hasFailed: boolean
}

/** What the caller is part of. */
const runs = new AsyncLocalStorage<Run>()

/** What runs in `atomic()` in one context, one after the other, and what that does to what is written beside it. */
export class AtomicWork {
  readonly #owner: { readonly name: string }
  readonly #turns = new Mutex()
  /** The transactions in which somebody has written beside one that was running. */
  #withWritesBeside: WeakSet<object> | undefined
  /** What was lost without anybody being told. */
  #lost: Error | undefined
  #hasFailed = false
  #end: AbortController | undefined

  constructor (owner: { readonly name: string }) {
    this.#owner = owner
  }

  get isLocked (): boolean {
    return this.#turns.isLocked
  }

  get hasLost (): boolean {
    return this.#lost !== undefined
  }

  run<T> (work: () => Promise<T>): Promise<T> {
    return this.#turns.run(work)
  }

  /** Aborted when the context ends, and with it the attempts at an `atomic()`: these have contexts of their own. */
  get signal (): AbortSignal {
    this.#end ??= new AbortController()
    return this.#end.signal
  }

  /** The context ends. */
  end (): void {
    this.#end?.abort(new FST_ORM_CONTEXT_ENDED(this.#owner.name, 'it is being settled', 'atomic()'))
  }

  /** Runs what is rolled back by `rollback` if it fails. From then on, what still comes from it is refused: it would stay. */
  async runOrRollBack<T> (work: () => Promise<T>, rollback: () => Promise<void>): Promise<T> {
    const run: Run = { work: this, outer: runs.getStore(), hasFailed: false }
    try {
      return await runs.run(run, work)
    } catch (error) {
      this.#hasFailed = run.hasFailed = true
      await rollback()
      throw error
    }
  }

  /** A statement is about to run in that transaction, perhaps beside one that is running, or too late. */
  noteStatement (sql: string, dialect: Dialect, transaction: object): void {
    if (this.#hasFailed) this.#assertNotTooLate(sql)
    if (!this.isLocked || runningAtomic.has(this.#owner) || isRead(sql, dialect)) return
    this.#withWritesBeside ??= new WeakSet()
    this.#withWritesBeside.add(transaction)
  }

  /** What was written in that transaction is rolled back. */
  noteRollback (transaction: object): void {
    if (this.#withWritesBeside?.has(transaction) === true) this.#lost ??= new Error(LOST)
  }

  /** It was rolled back by hand: the caller knows. */
  noteRollbackByHand (): void {
    if (!this.isLocked) this.#lost = undefined
  }

  /** Throws `FST_ORM_TRANSACTION_FAILED` if a commit would write only a part of the work. */
  assertNothingLost (): void {
    if (this.hasLost) throw new FST_ORM_TRANSACTION_FAILED(this.#owner.name, 'atomic()', { cause: this.#lost })
  }

  #assertNotTooLate (sql: string): void {
    for (let run = runs.getStore(); run !== undefined; run = run.outer) {
      if (run.work === this && run.hasFailed) throw withCallersLine(() => new FST_ORM_CONTEXT_ENDED(`an atomic() of ${this.#owner.name}`, 'rolledBack', shorten(sql)))
    }
  }
}

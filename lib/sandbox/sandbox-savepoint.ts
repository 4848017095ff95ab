import { AsyncLocalStorage } from 'node:async_hooks'
import { currentContext, type Context } from '../context/context.ts'
import { FST_ORM_SANDBOX_WAIT } from '../errors.ts'
import type { PinnedTransaction } from '../drivers/pinned-transaction.ts'
import type { SavepointRules } from '../drivers/savepoint-rules.ts'

/** The savepoint of the transaction whose callback the caller runs in. */
const inside = new AsyncLocalStorage<SandboxSavepoint>()

/** The transaction of a sandbox, as its savepoints use it. */
export interface SavepointHost {
  readonly root: SandboxSavepoint
  readonly innermost: SandboxSavepoint
  readonly rules: SavepointRules
  savepointOf (context: object): SandboxSavepoint | undefined
  push (savepoint: SandboxSavepoint): void
  popTo (savepoint: SandboxSavepoint): void
  cleanUp (savepoint: SandboxSavepoint): Promise<void>
  inTurn<T> (who: string, where: () => SandboxSavepoint, task: () => Promise<T>): Promise<T>
  command (run: (transaction: PinnedTransaction) => Promise<unknown>): Promise<void>
  /** The database has ended it by itself. */
  lose (): void
}

/** What stands for a transaction inside a sandbox; without a parent, the transaction of the sandbox itself. */
export class SandboxSavepoint {
  /** For error messages, such as `POST /books`. */
  readonly holder: string
  readonly #transaction: SavepointHost
  #parent: SandboxSavepoint | undefined
  #isOpen: boolean
  #isEnding = false
  #openedAt = 0
  #undo: (() => Promise<void>)[] = []

  constructor (transaction: SavepointHost, holder: string, isOpen: boolean) {
    this.#transaction = transaction
    this.holder = holder
    this.#isOpen = isOpen
  }

  get isOpen (): boolean {
    return this.#isOpen
  }

  /** When it was opened, by `performance.now()`. */
  get openedAt (): number {
    return this.#openedAt
  }

  /** Others may begin in it: it is open, and nobody is about to end it. */
  get takesOthers (): boolean {
    return this.#isOpen && !this.#isEnding
  }

  /** Runs a callback; contexts that are opened in it lie inside. */
  run<T> (callback: () => T): T {
    return inside.run(this, callback)
  }

  /** Runs `task` when nothing else runs, and nothing in here is open. Rejects as `SandboxTransaction.inTurn()`. */
  async inTurn<T> (who: string, task: () => Promise<T>): Promise<T> {
    return await this.#transaction.inTurn(who, () => this, task)
  }

  /** Opens it in the innermost one around by then: while it waits, a context around it may begin, and wait for it in turn. */
  async open ({ readOnly }: { readOnly: boolean }): Promise<void> {
    const around = savepointAround(this.#transaction)
    await this.#transaction.inTurn(this.holder, around, async () => {
      this.#parent = around()
      await this.#transaction.command(transaction => transaction.savepoint(this.#name))
      if (readOnly) this.#undo.push(await this.#transaction.rules.makeReadOnly())
      this.#isOpen = true
      this.#openedAt = performance.now()
      this.#transaction.push(this)
    })
  }

  /** For what a savepoint does not take back by itself when it is released. */
  onLeave (undo: () => Promise<void>): void {
    this.#undo.push(undo)
  }

  /** Checks what the database would check at a commit, if there is anything. What fails is rolled back. */
  async commit ({ hasWritten = true }: { hasWritten?: boolean } = {}): Promise<void> {
    // inside another one, what is deferred may be that one's, and wait for its commit
    const isChecked = hasWritten && this.#depth === 1
    this.#isEnding = true
    try {
      await this.inTurn(this.holder, async () => {
        if (isChecked) await this.#transaction.rules.checkDeferred()
        await this.#transaction.command(transaction => transaction.releaseSavepoint(this.#name))
        await this.cleanUp()
        if (isChecked) await this.#transaction.rules.defer()
        this.#transaction.popTo(this)
      })
    } catch (error) {
      await this.rollback({ isStuck: error instanceof FST_ORM_SANDBOX_WAIT }).catch(() => {}) // it is the error that matters
      throw error
    }
  }

  /** Goes back to it, and leaves it; where something inside does not end (it `isStuck`), together with that. */
  async rollback ({ isStuck = false }: { isStuck?: boolean } = {}): Promise<void> {
    if (!this.#isOpen) return
    this.#isEnding = true
    const where = isStuck ? () => this.#transaction.innermost : () => this as SandboxSavepoint
    try {
      await this.#transaction.inTurn(this.holder, where, () => this.#goBack())
    } catch (error) {
      if (!(error instanceof FST_ORM_SANDBOX_WAIT)) throw error
      await this.rollback({ isStuck: true })
    }
  }

  /** It has been left, or has gone with what is around it. */
  close (): void {
    this.#isOpen = false
  }

  async cleanUp (): Promise<void> {
    for (const undo of this.#undo.splice(0)) await undo()
  }

  isInside (other: SandboxSavepoint): boolean {
    return this.#parent !== undefined && (this.#parent === other || this.#parent.isInside(other))
  }

  async #goBack (): Promise<void> {
    if (!this.#isOpen) return // with what is around it
    try {
      await this.#transaction.command(transaction => transaction.rollbackToSavepoint(this.#name))
    } catch (error) {
      this.#transaction.lose() // whatever came next would be in no transaction
      throw error
    }
    await this.#transaction.cleanUp(this)
    await this.#transaction.command(transaction => transaction.releaseSavepoint(this.#name))
    this.#transaction.popTo(this)
  }

  get #depth (): number {
    return this.#parent === undefined ? 0 : this.#parent.#depth + 1
  }

  get #name (): string {
    return `sandbox${this.#depth}`
  }
}

/** What tells, also later, which is the innermost one around the caller in which he may begin. */
function savepointAround (transaction: SavepointHost): () => SandboxSavepoint {
  const ofTransaction = inside.getStore()
  const contexts: Context[] = []
  for (let context = currentContext(); context !== undefined; context = context.parent) contexts.push(context)
  return () => {
    let innermost = transaction.root
    for (const savepoint of [ofTransaction, ...contexts.map(context => transaction.savepointOf(context))]) {
      if (savepoint?.takesOthers === true && savepoint.isInside(innermost)) innermost = savepoint
    }
    return innermost
  }
}

import { AsyncLocalStorage } from 'node:async_hooks'
import { currentContext, type Context } from './context.ts'
import { hold, type Held } from './hold.ts'
import type { SandboxTransaction } from './sandbox-transaction.ts'
import { Turns } from './turns.ts'

/** The savepoint of the transaction whose callback the caller runs in. */
const inside = new AsyncLocalStorage<SandboxSavepoint>()

export interface SavepointSettings {
  readOnly: boolean
}

/**
 * What stands for a transaction inside a sandbox; without a parent, the transaction of the sandbox itself.
 *
 * Everything in it takes turns, each statement and each savepoint of its own: so whoever has one open has the connection
 * to himself, but for those inside of him.
 */
export class SandboxSavepoint {
  /** For error messages, such as `POST /books`. */
  readonly holder: string
  readonly #transaction: SandboxTransaction
  readonly #turns = new Turns()
  #parent: SandboxSavepoint | undefined
  #turn: Held<void> | undefined
  #isOpen: boolean
  #undo: (() => Promise<void>)[] = []

  constructor (transaction: SandboxTransaction, holder: string, isOpen: boolean) {
    this.#transaction = transaction
    this.holder = holder
    this.#isOpen = isOpen
  }

  get isOpen (): boolean {
    return this.#isOpen
  }

  /** Runs a callback; contexts that are opened in it lie inside. */
  enter<T> (callback: () => T): T {
    return inside.run(this, callback)
  }

  /** Runs `task` when nothing else runs in here. Rejects when the sandbox ends before, or when the wait leads nowhere. */
  async inTurn<T> (who: string, task: () => Promise<T>): Promise<T> {
    const wait = this.#transaction.startWaiting(who)
    const turn = this.#turns.run(async () => {
      wait.assertInTime()
      return await task()
    })
    return await Promise.race([turn, wait.failed])
  }

  async open ({ readOnly }: SavepointSettings): Promise<void> {
    this.#turn = await this.#takePlace()
    try {
      await this.#transaction.command(trx => trx.savepoint(this.#name))
      this.#isOpen = true
      this.#transaction.add(this)
      if (readOnly) this.#undo.push(await this.#transaction.rules.makeReadOnly())
    } catch (error) {
      this.leave()
      throw error
    }
  }

  /** For what a savepoint does not take back by itself when it is released. */
  onLeave (undo: () => Promise<void>): void {
    this.#undo.push(undo)
  }

  /** Checks what the database would check at a commit, if there is anything. What fails is rolled back. */
  async commit ({ hasWritten = true }: { hasWritten?: boolean } = {}): Promise<void> {
    // inside another one, what is deferred may be that one's, and wait for its commit
    const isChecked = hasWritten && this.#depth === 1
    try {
      await this.inTurn(this.holder, async () => {
        if (isChecked) await this.#transaction.rules.checkDeferred()
        await this.#transaction.command(trx => trx.releaseSavepoint(this.#name as never))
        await this.#cleanUp()
        if (isChecked) await this.#transaction.rules.defer()
      })
    } catch (error) {
      await this.rollback().catch(() => {}) // it is the error that matters
      throw error
    }
    this.leave()
  }

  async rollback (): Promise<void> {
    if (!this.#isOpen) return
    try {
      await this.inTurn(this.holder, async () => {
        await this.#transaction.command(trx => trx.rollbackToSavepoint(this.#name as never))
        await this.#cleanUp()
        await this.#transaction.command(trx => trx.releaseSavepoint(this.#name as never))
      })
    } finally {
      this.leave()
    }
  }

  /** Lets the next one in. */
  leave (): void {
    this.#isOpen = false
    this.#transaction.delete(this)
    this.#turn?.release()
  }

  /** In the innermost one around by then: while it waits, a context around it may begin, and wait for it in turn. */
  async #takePlace (): Promise<Held<void>> {
    const around = savepointAround(this.#transaction)
    const wait = this.#transaction.startWaiting(this.holder)
    for (;;) {
      const parent = around()
      const place = { isTaken: false, isLeft: false }
      const turn = hold<void>(use => parent.#turns.run(async () => {
        if (place.isLeft) return
        place.isTaken = true
        wait.assertInTime()
        await use()
      }))
      while (place.isTaken || around() === parent) {
        const taken = await Promise.race([turn, wait.failed, this.#transaction.untilOneBegins()])
        if (taken === undefined) continue
        this.#parent = parent
        return taken
      }
      place.isLeft = true
    }
  }

  async #cleanUp (): Promise<void> {
    for (const undo of this.#undo.splice(0)) await undo()
  }

  isInside (other: SandboxSavepoint): boolean {
    return this.#parent !== undefined && (this.#parent === other || this.#parent.isInside(other))
  }

  get #depth (): number {
    return this.#parent === undefined ? 0 : this.#parent.#depth + 1
  }

  get #name (): string {
    return `sandbox${this.#depth}`
  }
}

/** What tells, also later, which is the innermost one that is open around the caller. */
function savepointAround (transaction: SandboxTransaction): () => SandboxSavepoint {
  const ofTransaction = inside.getStore()
  const contexts: Context[] = []
  for (let context = currentContext(); context !== undefined; context = context.outer) contexts.push(context)
  return () => {
    let innermost = transaction.root
    for (const savepoint of [ofTransaction, ...contexts.map(context => transaction.savepointOf(context))]) {
      if (savepoint?.isOpen === true && savepoint.isInside(innermost)) innermost = savepoint
    }
    return innermost
  }
}

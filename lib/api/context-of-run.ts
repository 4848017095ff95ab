import type { EntityManager } from '@mikro-orm/core'
import type { FastifyBaseLogger } from 'fastify'
import { Context } from '../context/context.ts'
import type { DatabaseSet } from '../context/database-set.ts'
import type { ContextDescription } from '../context/context-description.ts'
import type { RunSettings, TransactionOptions } from '../options/options.ts'
import type { OrmSource } from '../options/orm-source.ts'

/** The context of one `runInContext()`. */
export class ContextOfRun extends Context {
  readonly name: string
  readonly options: TransactionOptions
  readonly beforeCommit: ((em: EntityManager) => unknown) | undefined
  protected readonly waitsForStatements = true
  readonly #signal: AbortSignal | undefined
  /** What it is a branch of: the parent, if it works on the same databases because it was told no others. */
  #branchOf: Context | undefined
  readonly #aborted = Promise.withResolvers<never>()
  /** That of the request that it is part of. */
  readonly log: FastifyBaseLogger | undefined
  readonly description: ContextDescription
  readonly warnHeldMs: number
  readonly streamTimeout: number

  constructor (databases: DatabaseSet, settings: RunSettings, parent: Context | undefined) {
    const { name, signal, after, transaction, isolationLevel, readOnly, replica } = settings
    super(databases)
    this.name = name
    this.options = { transaction, isolationLevel, readOnly, replica }
    this.#signal = signal
    this.log = parent?.log
    this.warnHeldMs = parent?.warnHeldMs ?? Infinity
    this.streamTimeout = parent?.streamTimeout ?? Infinity
    this.description = { id: this.id, kind: parent === undefined ? 'run' : 'branch', name, requestId: parent?.description.requestId }
    this.#branchOf = parent?.databases === databases ? parent : undefined
    this.beforeCommit = this.#branchOf?.beforeCommit
    if (after !== undefined) this.freshness.require(databases.tokens.read(after))
  }

  /** Runs `fn` in the context, which it ends: by then, or when the signal is aborted. */
  async complete<T> (fn: () => T | Promise<T>): Promise<T> {
    const signal = this.#signal
    signal?.throwIfAborted()
    const onAbort = (): void => this.abort(signal!.reason)
    signal?.addEventListener('abort', onAbort)
    try {
      return await Promise.race([this.run(() => this.#settleWith(fn)), this.#aborted.promise])
    } finally {
      signal?.removeEventListener('abort', onAbort)
      this.close()
      this.#branchOf = undefined
    }
  }

  abort (reason: unknown): void {
    if (this.ending !== undefined) return // the commit is on its way, and decides
    this.run(() => this.rollback('abort', reason)).then(() => { this.#aborted.reject(reason) }) // never rejects
  }

  protected onFirstUse (): void {}

  protected onEnd (): void {}

  /** So that a branch sees what the tenant of the request may see, and no more. */
  protected emOfParent (source: OrmSource): EntityManager | undefined {
    return this.#branchOf?.entityManagerWithOwnSettings(source)
  }

  async #settleWith<T> (fn: () => T | Promise<T>): Promise<T> {
    try {
      const result = await fn()
      this.attempts?.assertOwnChanges()
      await this.commit('return')
      if (!this.isAborted) return result
    } catch (error) {
      await this.rollback('throw', error)
      this.attempts?.noteFailure()
      if (!this.isAborted) throw error
    }
    return await this.#aborted.promise
  }
}

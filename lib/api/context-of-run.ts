import type { EntityManager } from '@mikro-orm/core'
import type { FastifyBaseLogger } from 'fastify'
import { Context } from '../context/context.ts'
import type { DatabaseSet } from '../context/database-set.ts'
import type { ContextDescription } from '../context/events.ts'
import type { RunSettings, TransactionOptions } from '../options/options.ts'
import type { OrmSource } from '../options/orm-source.ts'

/** The context of one `runInContext()`. */
export class ContextOfRun extends Context {
  readonly name: string
  readonly options: TransactionOptions
  readonly beforeCommit: ((em: EntityManager) => unknown) | undefined
  protected readonly waitsForStatements = true
  readonly #signal: AbortSignal | undefined
  /** What it is a branch of: the context around, if it works on the same databases because it was told no others. */
  #stem: Context | undefined
  readonly #aborted = Promise.withResolvers<never>()
  /** That of the request that it is part of. */
  readonly log: FastifyBaseLogger | undefined
  readonly description: ContextDescription
  readonly warnHeldMs: number
  readonly streamTimeout: number

  constructor (databases: DatabaseSet, { name, signal, ...options }: RunSettings, around: Context | undefined) {
    super(databases)
    this.name = name
    this.options = options
    this.#signal = signal
    this.log = around?.log
    this.warnHeldMs = around?.warnHeldMs ?? Infinity
    this.streamTimeout = around?.streamTimeout ?? Infinity
    this.description = { kind: around === undefined ? 'run' : 'branch', name, requestId: around?.description.requestId }
    this.#stem = around?.databases === databases ? around : undefined
    this.beforeCommit = this.#stem?.beforeCommit
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
      this.release()
      this.#stem = undefined
    }
  }

  abort (reason: unknown): void {
    if (this.ending !== undefined) return // the commit is on its way, and decides
    this.run(() => this.rollback('abort', reason)).then(() => { this.#aborted.reject(reason) }) // never rejects
  }

  protected onFirstUse (): void {}

  protected onEnd (): void {}

  /** So that a branch sees what the tenant of the request may see, and no more. */
  protected emAround (source: OrmSource): EntityManager | undefined {
    return this.#stem?.entityManagerWithOwnSettings(source)
  }

  protected onSettled (): void {}

  async #settleWith<T> (fn: () => T | Promise<T>): Promise<T> {
    try {
      const result = await fn()
      await this.commit('return')
      if (!this.#isAborted) return result
    } catch (error) {
      await this.rollback('throw', error)
      if (!this.#isAborted) throw error
    }
    return await this.#aborted.promise
  }

  get #isAborted (): boolean {
    return this.ending === 'abort'
  }
}

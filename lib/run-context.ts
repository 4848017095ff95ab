import type { EntityManager } from '@mikro-orm/core'
import type { FastifyBaseLogger } from 'fastify'
import { Context } from './context.ts'
import type { Databases } from './databases.ts'
import type { TransactionOptions } from './options.ts'

interface RunSettings extends TransactionOptions {
  readonly name: string
  readonly signal?: AbortSignal | undefined
}

/** The context of one `runInContext()`. */
export class ContextOfRun extends Context {
  readonly name: string
  readonly options: TransactionOptions
  readonly beforeCommit: ((em: EntityManager) => unknown) | undefined
  protected readonly waitsForStatements = true
  readonly #signal: AbortSignal | undefined
  /** That of the request that it is part of. */
  readonly log: FastifyBaseLogger | undefined

  constructor (databases: Databases, { name, signal, ...options }: RunSettings, around: Context | undefined) {
    super(databases)
    this.name = name
    this.options = options
    this.#signal = signal
    this.log = around?.log
    this.beforeCommit = around?.databases === databases ? around.beforeCommit : undefined
  }

  /** Runs `fn` in the context, which it ends: by then, or when the signal is aborted. */
  async complete<T> (fn: () => T | Promise<T>): Promise<T> {
    const signal = this.#signal
    signal?.throwIfAborted()
    const aborted = Promise.withResolvers<never>()
    const abort = (): void => {
      if (this.ending !== undefined) return // the commit is on its way, and decides
      this.run(() => this.rollback('abort')).then(() => { aborted.reject(signal!.reason) }) // never rejects
    }
    signal?.addEventListener('abort', abort)
    try {
      return await Promise.race([this.run(() => this.#settleWith(fn, aborted.promise)), aborted.promise])
    } finally {
      signal?.removeEventListener('abort', abort)
      this.release()
    }
  }

  protected onFirstUse (): void {}

  protected onEnd (): void {}

  async #settleWith<T> (fn: () => T | Promise<T>, aborted: Promise<never>): Promise<T> {
    try {
      const result = await fn()
      await this.commit('return')
      if (!this.#isAborted) return result
    } catch (error) {
      await this.rollback('throw')
      if (!this.#isAborted) throw error
    }
    return await aborted
  }

  get #isAborted (): boolean {
    return this.ending === 'abort'
  }
}

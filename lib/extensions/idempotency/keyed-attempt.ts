import { UniqueConstraintViolationException } from '@mikro-orm/core'
import type { FastifyReply } from 'fastify'
import { AsyncLocalStorage } from 'node:async_hooks'
import { afterCommit, beforeCommit } from '../../../index.ts'
import { FST_ORM_IDEMPOTENCY_REPLY } from './errors.ts'
import type { KeptReply, Keys, NewKey } from './keys.ts'
import { keepReply, putBack, type Headers, type Problem } from './kept-reply.ts'
import type { RouteSettings } from './options.ts'

/** The request that has the key. */
export interface KeyHolder {
  readonly key: NewKey
  readonly keys: Keys
  readonly route: string
  readonly reply: FastifyReply
  readonly settings: RouteSettings
  inProgress (): Error
  leave (): void
}

/** What was begun by which attempt. */
const running = new AsyncLocalStorage<KeyedAttempt>()

/** One run of the handler, or the replay in its place: with `retry`, there may be several for a request. */
export class KeyedAttempt {
  readonly #holder: KeyHolder
  readonly #known: KeptReply | undefined
  /** Set by hooks, before the handler. */
  readonly #headersBefore: Headers
  /** A reply may be sent from elsewhere, such as the listener of an emitter. */
  readonly #inContext = AsyncLocalStorage.snapshot()
  /** No other one has had the key. */
  readonly isFirst: boolean
  #hasReplied = false

  /** `known` is the reply that is to be replayed. */
  constructor (holder: KeyHolder, known: KeptReply | undefined, isFirst: boolean) {
    this.#holder = holder
    this.isFirst = isFirst
    this.#known = known
    this.#headersBefore = holder.reply.getHeaders()
    if (known === undefined) holder.reply.hijack = () => { throw this.#unkeepable({ what: 'it was hijacked', advice: 'Send it with reply.send()' }) }
  }

  get isReplay (): boolean {
    return this.#known !== undefined
  }

  /** Sends the reply that was found, or calls the handler, as Fastify does: one that gives nothing back replies later. */
  run (handle: () => unknown): unknown {
    return running.run(this, () => {
      const { reply } = this.#holder
      const result = this.#known === undefined ? handle() : reply.send(putBack(reply, this.#known))
      return result === undefined ? new Promise(() => {}) : result
    })
  }

  /** When a reply comes by. Gives what is to be sent instead of the payload, if it must be something else. */
  pass (payload: unknown): Buffer | null | undefined {
    if (this.#isOfAnother) return undefined
    const { reply, settings } = this.#holder
    if (this.#known !== undefined) return putBack(reply, this.#known)
    if (this.#hasReplied) return undefined // a second reply is not sent
    this.#hasReplied = true
    const kept = keepReply(reply, payload, this.#headersBefore, settings)
    try {
      this.#inContext(() => {
        beforeCommit(() => this.#keep(kept))
        afterCommit(() => this.#holder.leave())
      })
    } catch {
      // the context has ended: nothing will be stored
    }
    return undefined
  }

  /** The reply comes from an attempt that has failed: it is not sent. */
  get #isOfAnother (): boolean {
    const attempt = running.getStore()
    return attempt !== undefined && attempt !== this && attempt.#holder === this.#holder
  }

  /** In the transaction, when everything else is done. */
  async #keep (kept: KeptReply | Problem): Promise<void> {
    if ('what' in kept) throw this.#unkeepable(kept)
    const { key, keys, reply } = this.#holder
    Reflect.deleteProperty(reply, 'hijack') // a reply that fails after the commit is broken off
    if (await keys.keep(key, kept)) return
    // a rollback by hand has taken the key along, and another request may have it by now
    try {
      await keys.insertKept(key, kept)
    } catch (error) {
      throw error instanceof UniqueConstraintViolationException ? this.#holder.inProgress() : error
    }
  }

  #unkeepable ({ what, advice }: Problem): Error {
    return new FST_ORM_IDEMPOTENCY_REPLY(this.#holder.route, what, advice)
  }
}

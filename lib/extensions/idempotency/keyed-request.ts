import type { FastifyReply } from 'fastify'
import { randomUUID } from 'node:crypto'
import { rollback } from '../../../index.ts'
import {
  FST_ORM_IDEMPOTENCY_IN_PROGRESS, FST_ORM_IDEMPOTENCY_MISMATCH, FST_ORM_IDEMPOTENCY_ROUTE, FST_ORM_IDEMPOTENCY_UNKNOWN
} from './errors.ts'
import { KeyedAttempt, type KeyHolder } from './keyed-attempt.ts'
import { isLockTimeout, isOvertaken, type KeyRow, type Keys, type NewKey } from './keys.ts'
import type { Lanes } from './lanes.ts'
import type { RouteSettings } from './options.ts'

/** What the requests of one app share. */
export interface Shared {
  readonly keys: Keys
  readonly lanes: Lanes
}

/**
 * A request that has brought a key: it has the key to itself until its reply is stored with its work, or replays the reply of
 * another. With `retry`, each attempt takes the key anew, since the rollback of the one before has taken it along; in its process, no
 * other request comes in between.
 */
export class KeyedRequest implements KeyHolder {
  readonly key: NewKey
  readonly keys: Keys
  readonly route: string
  readonly reply: FastifyReply
  readonly settings: RouteSettings
  readonly #lanes: Lanes
  /** Milliseconds for which it still waits for others, in all its attempts together. */
  #patience: number
  #attempt: KeyedAttempt | undefined
  #hasClaimed = false
  #leave: (() => void) | undefined
  /** Its response has closed. */
  #isGone: boolean

  constructor ({ keys, lanes }: Shared, settings: RouteSettings, route: string, reply: FastifyReply, key: Pick<NewKey, 'id' | 'fingerprint'>) {
    this.keys = keys
    this.#lanes = lanes
    this.settings = settings
    this.route = route
    this.reply = reply
    this.key = { ...key, claim: randomUUID(), expiresAt: Date.now() + settings.maxAge }
    this.#patience = settings.wait
    this.#isGone = hasClosed(reply.raw)
    reply.raw.once('close', () => {
      this.#isGone = true
      this.leave()
    })
  }

  /** Takes the key, or finds the reply that is to be replayed. Rejects if it can do neither. */
  async begin (): Promise<KeyedAttempt> {
    if (!this.keys.isTransactional) throw new FST_ORM_IDEMPOTENCY_ROUTE(this.route, 'it has no transaction (transaction: false) that the key could be committed in')
    this.#attempt = undefined
    const deadline = performance.now() + this.#patience
    const wait = (): number => Math.max(0, deadline - performance.now())
    try {
      await this.#enterLane(wait())
      this.#attempt = new KeyedAttempt(this, await this.#claim(wait()), !this.#hasClaimed)
    } finally {
      this.#patience = wait()
    }
    if (this.#attempt.isReplay) this.leave()
    else this.#hasClaimed = true
    return this.#attempt
  }

  /** When a reply comes by. Gives what is to be sent instead of the payload, if it must be something else. */
  pass (payload: unknown): Buffer | null | undefined {
    return this.#attempt?.pass(payload)
  }

  /** Lets in the next one of this process that waits for the key. */
  leave (): void {
    this.#leave?.()
  }

  /** `cause` is a failure that may not come again. */
  inProgress (cause?: unknown): Error {
    return new FST_ORM_IDEMPOTENCY_IN_PROGRESS(this.route, { cause })
  }

  /** Unless it has been there since an attempt before. */
  async #enterLane (wait: number): Promise<void> {
    this.#leave ??= await this.#lanes.enter(this.key.id, wait)
    if (this.#leave === undefined) throw this.inProgress()
    if (this.#isGone) this.leave() // nothing would end its turn
  }

  async #claim (wait: number): Promise<KeyRow | undefined> {
    const { hasWork } = this.keys
    try {
      return await this.keys.insert(this.key, wait) ? undefined : await this.#takeOverOrFind()
    } catch (error) {
      if (isLockTimeout(error)) throw this.inProgress()
      if (!isOvertaken(error)) throw error
      if (hasWork) throw this.inProgress(error)
      await rollback()
      const row = await this.keys.findCommitted(this.key.id)
      return this.#replayable(isOld(row) ? undefined : row, error) // who takes over an old one has not committed that yet
    }
  }

  /** A key that is too old is as good as none, for whoever is first. */
  async #takeOverOrFind (): Promise<KeyRow | undefined> {
    const row = await this.keys.find(this.key.id)
    const isTaken = isOld(row) && await this.keys.takeOver(row, this.key)
    const known = isOld(row) && !isTaken ? await this.keys.find(this.key.id) : row
    await this.keys.endWait()
    return isTaken ? undefined : this.#replayable(known)
  }

  #replayable (row: KeyRow | undefined, cause?: unknown): KeyRow {
    if (row === undefined) throw this.inProgress(cause) // it has just gone
    if (row.fingerprint !== this.key.fingerprint) throw new FST_ORM_IDEMPOTENCY_MISMATCH(this.route)
    if (row.status == null) throw new FST_ORM_IDEMPOTENCY_UNKNOWN(this.route)
    return row
  }
}

function isOld (row: KeyRow | undefined): row is KeyRow {
  return row !== undefined && row.expiresAt <= Date.now()
}

/** One of HTTP/2 has a stream. */
function hasClosed (raw: FastifyReply['raw'] & { stream?: { destroyed: boolean } }): boolean {
  return (raw.stream ?? raw).destroyed
}

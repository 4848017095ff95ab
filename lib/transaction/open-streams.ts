import type { Lease } from '../util/lease.ts'
import { Lifeline } from './lifeline.ts'
import type { Driver } from '../drivers/driver.ts'
import type { DatabaseConnection, Query, QueryOptions, Result } from '../drivers/pinned-transaction.ts'
import { ReaderWatch, type ReaderLimits } from './reader-watch.ts'

interface OpenStream {
  isInTransaction: boolean
  isWaiting: boolean
  end (): Promise<void>
}

/** What a stream asks of whoever opens it. */
export interface StreamOwner extends Omit<ReaderLimits, 'onTimeout'> {
  /** For a reader that reads on when the stream was cut. */
  cutError (): Error
  /** The stream was cut because its reader did not read on. Returns what that reader gets. */
  onTimeout (): Error
}

/** The rows that a context is streaming. Each stream keeps its connection until it is read to its end, left or cut. */
export class OpenStreams {
  #open = NONE

  get isEmpty (): boolean {
    return this.#open.size === 0
  }

  get hasOneInTransaction (): boolean {
    for (const stream of this.#open) if (stream.isInTransaction) return true
    return false
  }

  /** These keep a connection each. */
  get hasOneOutsideTransaction (): boolean {
    for (const stream of this.#open) if (!stream.isInTransaction) return true
    return false
  }

  /** It can be cut at once. One that waits for its next row cannot, before that has come. */
  get hasIdleOneInTransaction (): boolean {
    for (const stream of this.#open) if (stream.isInTransaction && !stream.isWaiting) return true
    return false
  }

  /**
   * Streams on the connection that is held, and releases it.
   */
  async * read (
    driver: Driver, held: Lease<DatabaseConnection>, isInTransaction: boolean, owner: StreamOwner, query: Query, chunkSize: number, options: QueryOptions
  ): AsyncGenerator<Result, undefined> {
    const rows = held.resource.streamQuery<any>(query, chunkSize, options)
    const probe = driver.probeFor(held.resource)
    const lifeline = probe && new Lifeline(held.resource, probe)
    const alive = <T>(step: Promise<T>): Promise<T> => lifeline?.watch(step) ?? step
    const stream: OpenStream = {
      isInTransaction,
      isWaiting: false,
      end: async () => {
        this.#open.delete(stream)
        if (!isOver) await alive(driver.leaveStream(held.resource, rows)).catch(() => {})
        lifeline?.release()
        watch.release()
        await held.release()
      }
    }
    let isOver = false
    let timeoutError: Error | undefined
    const watch = new ReaderWatch({
      warnMs: owner.warnMs,
      timeoutMs: owner.timeoutMs,
      onSlow: waited => owner.onSlow(waited),
      onTimeout () {
        timeoutError = owner.onTimeout()
        stream.end() // never rejects
      }
    })
    if (this.#open === NONE) this.#open = new Set()
    this.#open.add(stream)
    try {
      for (;;) {
        stream.isWaiting = true
        const next = await alive(rows.next())
        stream.isWaiting = false
        isOver = next.done === true
        if (isOver) break
        watch.startWaiting()
        yield next.value
        watch.stopWaiting()
      }
      if (timeoutError !== undefined) throw timeoutError
      if (!this.#open.has(stream)) throw owner.cutError()
    } finally {
      await stream.end()
    }
  }

  /** Ends the streams of the transaction, which is to end itself. */
  async cutThoseInTransaction (): Promise<void> {
    for (const stream of this.#open) if (stream.isInTransaction) await stream.end()
  }

  /** Gives back the connections of streams that nobody will go on with. */
  async cutAll (): Promise<void> {
    for (const stream of this.#open) await stream.end()
  }
}

/** Most scopes never stream, and do without a set of their own. */
const NONE = new Set<OpenStream>()

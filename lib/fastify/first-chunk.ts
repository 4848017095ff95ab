import { finished, type Readable } from 'node:stream'

/** A chunk that is slow to come must not keep a transaction open for longer than that. */
const MAX_WAIT_MS = 100

/** A reply that is a stream waits for its first chunk: what fails before that leaves nothing written. */
export class FirstChunk {
  readonly #arrived = Promise.withResolvers<void>()
  readonly #committed = Promise.withResolvers<void>()

  /** Resolves when the chunk is there, or must not be waited for any longer. Rejects if the stream has failed. */
  async of (stream: Readable): Promise<void> {
    const { promise, resolve, reject } = this.#arrived
    const timer = setTimeout(resolve, MAX_WAIT_MS)
    const stopListening = finished(stream, { writable: false }, error => error == null ? resolve() : reject(error))
    stream.on('readable', resolve)
    try {
      await promise
    } finally {
      clearTimeout(timer)
      stopListening()
      stream.off('readable', resolve)
    }
  }

  /** Ends the wait, because something has to run after the commit. Resolves when it can. */
  hasten (): Promise<void> {
    this.#arrived.resolve()
    return this.#committed.promise
  }

  /** The context has ended. */
  end (): void {
    this.#arrived.resolve()
    this.#committed.resolve()
  }
}

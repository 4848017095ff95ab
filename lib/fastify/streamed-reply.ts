import type { FastifyReply } from 'fastify'
import { Readable } from 'node:stream'
import type { ReadableStream as NodeReadableStream } from 'node:stream/web'
import type { FirstChunk } from './first-chunk.ts'

type Stream = NodeJS.ReadableStream | ReadableStream

/** A reply whose payload is a stream, until Fastify sends it. */
export class StreamedReply {
  #stream: Stream
  #isReplaced = false
  #failure: { error: unknown } | undefined

  private constructor (stream: Stream) {
    this.#stream = stream
    this.#listen()
  }

  /** `undefined` if the payload is something else. */
  static of (payload: unknown): StreamedReply | undefined {
    const stream = streamOf(payload)
    return stream && new StreamedReply(stream)
  }

  fail (error: unknown): void {
    this.#failure ??= { error }
  }

  /** Throws what it has failed with, if it has. */
  assertWhole (): void {
    if (this.#failure !== undefined) throw this.#failure.error
  }

  /** Nothing is taken from the stream. Of one where that is impossible, it does not wait. */
  async untilFirstChunk (chunk: FirstChunk): Promise<void> {
    if (this.#stream instanceof ReadableStream) {
      this.#stream = Readable.fromWeb(this.#stream as NodeReadableStream)
      this.#isReplaced = true
      this.#listen()
    }
    if (isWaitable(this.#stream)) await chunk.of(this.#stream)
    this.assertWhole()
  }

  /** What Fastify is to send instead of the payload, if that was a web stream and is now read by a stream of Node's. */
  takeOver (reply: FastifyReply, payload: unknown): Stream | undefined {
    if (!this.#isReplaced) return undefined
    if (isResponse(payload)) for (const [name, value] of payload.headers) reply.header(name, value)
    return this.#stream
  }

  /** It will not be sent, and lets go of what it reads from. */
  discard (): void {
    if (isNodeStream(this.#stream)) (this.#stream as Partial<Readable>).destroy?.()
    else this.#stream.cancel().catch(() => {}) // whoever has locked it sees to it
  }

  /** Until Fastify does, which is after the commit: an `error` that nobody hears would end the process. */
  #listen (): void {
    if (isNodeStream(this.#stream)) this.#stream.on('error', (error: unknown) => this.fail(error))
  }
}

/** What Fastify will read from, if the payload is a stream or a `Response` that has one. */
export function streamOf (payload: unknown): Stream | undefined {
  if (typeof payload === 'string') return undefined // as most are
  const body: any = isResponse(payload) ? payload.body : payload
  return isNodeStream(body) || typeof body?.getReader === 'function' ? body : undefined
}

export function isResponse (payload: unknown): payload is Response {
  return typeof payload === 'object' && Object.prototype.toString.call(payload) === '[object Response]'
}

/** Fastify 5.12 listens to it, and would throw if it could not. */
export function isNodeStream (body: any): body is NodeJS.ReadableStream {
  return typeof body?.pipe === 'function' && typeof body.on === 'function'
}

/** Old streams keep no chunk for later, nor do those that somebody reads already. */
function isWaitable (stream: unknown): stream is Readable {
  const { read, readableFlowing } = stream as Partial<Readable>
  return typeof read === 'function' && readableFlowing !== true
}

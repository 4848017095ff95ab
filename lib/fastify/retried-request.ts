import type { FastifyReply, FastifyRequest } from 'fastify'
import { Attempts } from '../context/attempts.ts'
import { currentContext, type Context } from '../context/context.ts'
import type { RouteSettings } from '../options/options.ts'
import { isGone } from './broken-reply.ts'
import { CONTEXT, type ContextOfRequest } from './context-of-request.ts'
import { hasFlags, inErrorHook, sendThrown, type Handler } from './internals.ts'
import { PristineReply } from './pristine-reply.ts'
import { streamOf } from './streamed-reply.ts'
import { hasBody } from '../util/has-body.ts'

const retried = new WeakMap<FastifyRequest, RetriedRequest>()

/** A request whose route has `retry`, from when its handler begins. */
export class RetriedRequest {
  readonly #request: FastifyRequest
  readonly #reply: FastifyReply
  readonly #handle: () => unknown
  readonly #attempts: Attempts
  /** The context that has injected the request, of which a context that has ended knows no more. */
  readonly #parent: Context | undefined
  readonly #pristine: PristineReply | undefined
  /** Why the handler cannot be run again, if that is known from the start. */
  readonly #obstacle: string | undefined

  constructor (context: ContextOfRequest, request: FastifyRequest, reply: FastifyReply, handle: () => unknown) {
    this.#request = request
    this.#reply = reply
    this.#handle = handle
    this.#parent = context.parent
    this.#obstacle = context.state !== 'unused'
      ? 'a hook has used the EntityManager before the handler began, and only the handler is run again. Use runInContext() in the hook'
      : hasReadableBody(request) ? 'its body is a stream, which can be read once' : undefined
    if (this.#obstacle === undefined) this.#pristine = new PristineReply(request, reply)
    this.#attempts = new Attempts((context.options as RouteSettings).retry!, context)
    if (isGone(reply.raw)) this.#attempts.end()
    else reply.raw.on('close', () => this.#attempts.end())
  }

  /** The one of that request; `undefined` if it is not retried. */
  static of (request: FastifyRequest): RetriedRequest | undefined {
    return retried.get(request)
  }

  /**
   * Whether a failed attempt is not the last, and an error is not to be answered for that. Called in an `onError` hook, which must not
   * go on then.
   */
  takes (context: ContextOfRequest, error: unknown): boolean {
    if (!hasFlags(this.#reply)) return this.#giveUp()
    if (currentContext()?.isBefore(this.#attempts) === true) {
      inErrorHook(this.#reply, false)
      return true
    }
    if (this.#attempts.isWaiting || this.#attempts.isEnded) return this.#giveUp() // a handlerTimeout, or what could not go on
    this.#attempts.noteFailure()
    try {
      const obstacle = this.#reply.raw.headersSent ? 'its reply has been sent' : this.#obstacle
      if (!this.#attempts.isWorthAnother(error, obstacle)) return this.#giveUp()
      this.#pristine!.restore() // at once: while an `onError` hook runs, a handlerTimeout could send nothing
      this.#runAgain(context, error)
    } catch (refusal) {
      this.#giveUp()
      inErrorHook(this.#reply, false)
      this.#reply.send(refusal)
    }
    return true
  }

  /** The caller belongs to an attempt that has failed already, or comes between two of them: nobody is to hear of it. */
  static isFromBefore ({ attempts }: ContextOfRequest): boolean {
    return attempts!.isWaiting || currentContext()?.isBefore(attempts!) === true
  }

  #giveUp (): false {
    this.#attempts.end()
    return false
  }

  async #runAgain (context: ContextOfRequest, error: unknown): Promise<void> {
    try {
      await context.rollback('error', error)
      context.leave()
      await this.#attempts.untilNext(error)
      const next = await context.successor(this.#request, this.#reply, this.#parent)
      this.#attempts.begin(next)
      this.#request[CONTEXT] = next
      next.run(() => this.#handleAgain())
    } catch (failure) {
      if (this.#attempts.isEnded) return // the client has left, or a handlerTimeout has answered
      this.#giveUp()
      this.#reply.send(failure)
    }
  }

  /** As Fastify calls a handler. */
  async #handleAgain (): Promise<void> {
    try {
      const result = this.#handle()
      if (result === undefined) return // it replies later
      const payload = await result
      if (payload !== undefined || !(this.#reply.sent || this.#reply.raw.headersSent)) this.#reply.send(payload)
    } catch (error) {
      sendThrown(this.#reply, error)
    }
  }
}

/** Makes a handler one whose request is retried. */
export function retrying (handler: Handler): Handler {
  return function (this: unknown, request, reply) {
    const handle = (): unknown => Reflect.apply(handler, this, [request, reply])
    const context = request[CONTEXT]
    if (context !== null && !context.isWithinAttempt) retried.set(request, new RetriedRequest(context, request, reply, handle))
    return handle()
  }
}

/** Nothing has parsed it, and the handler reads it by itself, or it is a stream, or a form with files as @fastify/multipart attaches it. */
function hasReadableBody ({ body, headers }: FastifyRequest): boolean {
  if (body == null) return hasBody(headers)
  return streamOf(body) !== undefined || Object.values(body).flat().some(part => streamOf(part) !== undefined || streamOf(part?.file) !== undefined)
}

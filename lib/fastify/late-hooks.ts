import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { isForTheLogOnly, shownError } from './error-replies.ts'
import { CONTEXT, type ContextOfRequest } from './context-of-request.ts'
import type { SendDone, SendHook } from './internals.ts'

/**
 * `preSerialization` and `onSend` hooks of others, which run for every reply: also for that to an error, when the context
 * has ended.
 */

/** Requests whose error Fastify's default error handler has answered: what fails from then on is sent as it is. */
const answeredByDefault = new WeakSet<FastifyRequest>()

/** For what follows Fastify's default error handler, which has set status and headers, and has logged the error. */
export function sendShownError (error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  answeredByDefault.add(request)
  reply.send(shownError(error, reply.statusCode))
}

/** Wraps a hook, so that the reply goes out as it is if the hook writes too late, such as an audit of every reply. */
export function letReplyGoOut (hook: SendHook): SendHook {
  return (request, reply, payload, done) => {
    const context = request[CONTEXT]
    if (context === null || (!context.isInUse && context.ending === undefined)) return hook(request, reply, payload, done)
    const whenDone = (error?: unknown, newPayload?: unknown): void => {
      if (!error) done(null, newPayload)
      else if (isTooLate(error, context, request)) done()
      else done(errorToSend(error, request, reply))
    }
    try {
      return hook(request, reply, payload, whenDone as SendDone)?.then(undefined, error => {
        if (!isTooLate(error, context, request)) throw errorToSend(error, request, reply)
      })
    } catch (error) {
      whenDone(error)
    }
  }
}

function isTooLate (error: unknown, { name }: ContextOfRequest, request: FastifyRequest): boolean {
  const isLate = error instanceof Error && (error as FastifyError).code === 'FST_ORM_CONTEXT_ENDED' && error.message.startsWith(`${name} has ended`)
  if (!isLate) return false
  request.log.error({ err: error }, `${name}: a hook has written after the end, and the reply goes out without that`)
  return true
}

function errorToSend (error: unknown, request: FastifyRequest, reply: FastifyReply): unknown {
  if (!answeredByDefault.has(request) || !isForTheLogOnly(error)) return error
  request.log.error(error)
  return shownError(error, reply.statusCode)
}

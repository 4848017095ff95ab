import type { FastifyReply, FastifyRequest } from 'fastify'
import { isGone } from './broken-reply.ts'
import { CONTEXT } from './context-of-request.ts'
import type { Handler } from './internals.ts'

/**
 * For a route with `onAbort: 'commit'`: its requests also end when the client has left and the handler returns nothing. Fastify 5.12 sends
 * no reply then, so that no hook would commit, and the connection would never go back.
 */
export function finishing (handler: Handler): Handler {
  return function (this: unknown, request, reply) {
    const isReplyReturned = watchReply(reply)
    const result: any = Reflect.apply(handler, this, [request, reply])
    if (result === reply || typeof result?.then !== 'function') return result // it replies later
    return result.then((payload: unknown) => {
      if (payload === undefined && !isReplyReturned() && isLeftUnanswered(request, reply)) setImmediate(() => sendNothing(request, reply))
      return payload
    }).finally(() => endHijacked(request, reply))
  }
}

/** Unless Fastify has, as 5.0 does. */
function sendNothing (request: FastifyRequest, reply: FastifyReply): void {
  if (isLeftUnanswered(request, reply)) reply.send()
}

/** Ends a context whose reply was hijacked after the client had left: no other event would. */
function endHijacked (request: FastifyRequest, reply: FastifyReply): void {
  const context = request[CONTEXT]
  if (reply.sent && isGone(reply.raw) && context?.isInUse === true && !context.isReplying) context.run(() => context.rollback('close')) // never rejects
}

/** Tells whether an async handler has returned the reply, which says that it is sent later: its promise asks for `then`. */
function watchReply (reply: FastifyReply): () => boolean {
  let isAwaited = false
  Object.defineProperty(reply, 'then', {
    configurable: true,
    get () {
      isAwaited = true
      return Object.getPrototypeOf(reply).then
    }
  })
  return () => isAwaited
}

function isLeftUnanswered (request: FastifyRequest, reply: FastifyReply): boolean {
  const { raw, socket } = request
  const context = request[CONTEXT]
  const isSending = reply.sent || reply.raw.headersSent || context?.isReplying === true || context?.hasReachedOnSend === true
  return !isSending && context?.isInUse === true && (raw.aborted || socket.destroyed)
}

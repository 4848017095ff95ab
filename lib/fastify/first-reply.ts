import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ContextOfRequest } from './context-of-request.ts'
import { hasFlags, inErrorHook } from './internals.ts'

/** A reply is on its way, and will be the one that is sent: it waits for the database, or for the rollback that its error has caused. */
export function isAnotherReplyWaiting (context: ContextOfRequest): boolean {
  return context.isAnsweringError || (context.isReplying && !context.isOvertaken)
}

/**
 * For a second reply (`reply.send()` in an async handler that does not return it is followed by one of Fastify's own)
 * and for an error after the decision (a `handlerTimeout` during the commit): the hook does not go on.
 */
export function letTheFirstReplyStand (context: ContextOfRequest, request: FastifyRequest, error?: unknown): Promise<void> {
  const what = context.isAnsweringError ? 'while an error was being answered' : 'while the reply was being committed'
  request.log.warn({ err: error }, `${context.name}: ${error === undefined ? 'a second reply' : 'an error'} came ${what}, and the reply stands`)
  return never()
}

/**
 * Waits for the rollback before any error handler runs. Meanwhile Fastify 5.12 would throw at whoever calls `reply.send()`, be it itself for a
 * handler that has sent its error and returns or throws: nobody catches that, and the process would end.
 */
export async function answerAfter (rolledBack: Promise<void>, context: ContextOfRequest, reply: FastifyReply): Promise<void> {
  if (!hasFlags(reply)) return await rolledBack
  context.isAnsweringError = true
  inErrorHook(reply, false)
  await rolledBack
  context.isAnsweringError = false
  inErrorHook(reply, true)
}

/** A new promise each time: a shared one would keep everybody who waits for it alive for ever. */
export function never (): Promise<never> {
  return new Promise(() => {})
}

import type { FastifyReply } from 'fastify'
import { validateHeaderName, validateHeaderValue } from 'node:http'
import { isNodeStream, isResponse } from './streamed-reply.ts'

/**
 * These throw what Fastify 5.12 would throw once all hooks are done, and with them the commit: a request that cannot be
 * answered is not committed.
 */

/** Sets the status of a web `Response` before Fastify does: it may say not to commit. */
export function assertPayload (reply: FastifyReply, payload: unknown): void {
  if (typeof payload === 'string') return
  const body = isResponse(payload) ? bodyOf(reply, payload) : payload
  if (!isBody(body)) throw new TypeError(`A reply cannot be sent whose payload is neither a string nor a buffer nor a stream, but of type ${typeof body}`)
  const { locked, errored, readableAborted } = (body ?? {}) as { locked?: boolean, errored?: unknown, readableAborted?: boolean }
  if (locked === true || errored != null || readableAborted === true) {
    throw new TypeError('A stream cannot be sent that somebody reads already, that has failed, or that was destroyed', { cause: errored })
  }
}

/**
 * A handler that goes on after its reply may call `reply.code()` while that is committed: the status that was committed goes out.
 * Returns what sets it again.
 */
export function keepStatus (reply: FastifyReply): () => void {
  const { statusCode } = reply
  return () => { if (statusCode < 400 && reply.statusCode >= 400) reply.code(statusCode) }
}

/** Not worth its time where nothing is committed. */
export function assertHeaders (reply: FastifyReply): void {
  const headers = reply.getHeaders()
  for (const name in headers) {
    const value = headers[name]
    validateHeaderName(name)
    if (Array.isArray(value)) for (const item of value) validateHeaderValue(name, item)
    else validateHeaderValue(name, value as string)
  }
}

function bodyOf (reply: FastifyReply, response: Response): unknown {
  if (response.bodyUsed) throw new TypeError('A Response cannot be sent whose body has been read already')
  reply.code(response.status)
  return response.body
}

function isBody (body: any): boolean {
  return body == null || Buffer.isBuffer(body) || isNodeStream(body) || typeof body.getReader === 'function'
}

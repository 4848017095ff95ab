import type { FastifyReply } from 'fastify'
import { validateHeaderName, validateHeaderValue } from 'node:http'
import { isNodeStream, isResponse } from './streamed-reply.ts'

/**
 * These throw what Fastify 5.12 would throw once all hooks are done, and with them the commit: a request that cannot be
 * answered is not committed.
 */

/** Of a web `Response`, it sets the status, as Fastify is about to: it may say not to commit. */
export function assertPayload (reply: FastifyReply, payload: unknown): void {
  if (typeof payload === 'string') return
  const body = isResponse(payload) ? bodyOf(reply, payload) : payload
  if (!isBody(body)) throw new TypeError(`A reply cannot be sent whose payload is neither a string nor a buffer nor a stream, but of type ${typeof body}`)
  const { locked, errored, readableAborted } = (body ?? {}) as { locked?: boolean, errored?: unknown, readableAborted?: boolean }
  if (locked === true || errored != null || readableAborted === true) {
    throw new TypeError('A stream cannot be sent that somebody reads already, that has failed, or that was destroyed', { cause: errored })
  }
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

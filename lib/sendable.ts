import type { FastifyReply } from 'fastify'
import { validateHeaderName, validateHeaderValue } from 'node:http'

/**
 * These throw what Fastify 5.12 would throw once all hooks are done, and with them the commit: a request that cannot be
 * answered is not committed.
 */

/** Of a web `Response`, it sets the status, as Fastify is about to: it may say not to commit. */
export function assertPayload (reply: FastifyReply, payload: unknown): void {
  if (typeof payload === 'string') return
  const body = isResponse(payload) ? bodyOf(reply, payload) : payload
  if (!isBody(body)) throw new TypeError(`A reply cannot be sent whose payload is neither a string nor a buffer nor a stream, but of type ${typeof body}`)
  if ((body as ReadableStream | null)?.locked === true || (body as NodeJS.ReadableStream & { errored?: unknown } | null)?.errored != null) {
    throw new TypeError('A stream cannot be sent that somebody reads already, or that has failed', { cause: (body as { errored?: unknown }).errored })
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

function isResponse (payload: unknown): payload is Response {
  return typeof payload === 'object' && Object.prototype.toString.call(payload) === '[object Response]'
}

function bodyOf (reply: FastifyReply, response: Response): unknown {
  if (response.bodyUsed) throw new TypeError('A Response cannot be sent whose body has been read already')
  reply.code(response.status)
  return response.body
}

function isBody (body: any): boolean {
  return body == null || Buffer.isBuffer(body) ||
    typeof body.pipe === 'function' || typeof body.getReader === 'function'
}

/**
 * Listens to a stream until Fastify does, which is when the reply is committed: an `error` that nobody hears would end
 * the process. What the function returns throws the error, if there was one.
 */
export function watchStream (payload: any): () => void {
  let failure: { error: unknown } | undefined
  if (typeof payload?.pipe === 'function' && typeof payload.on === 'function') {
    payload.on('error', (error: unknown) => { failure ??= { error } })
  }
  return () => { if (failure !== undefined) throw failure.error }
}

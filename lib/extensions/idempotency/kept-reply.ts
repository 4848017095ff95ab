import type { FastifyReply } from 'fastify'
import type { KeptReply } from './keys.ts'
import type { RouteSettings } from './options.ts'

/** What is stored of a reply, and how a later one is made of it. */

const REPLAYED = 'idempotency-replayed'

/** They are of one connection, or of one moment; the length is counted anew. */
const NEVER_KEPT = new Set([
  'connection', 'content-length', 'date', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'proxy-connection', 'retry-after', 'te',
  'trailer', 'transfer-encoding', 'upgrade'
])

/** Headers as Fastify has them. */
export type Headers = Record<string, number | string | string[] | undefined>

/** What cannot be stored, and what to do about it. */
export interface Problem {
  what: string
  advice: string
}

/** `before` are the headers that hooks had set before the handler, which they will do for a replay as well. */
export function keepReply (reply: FastifyReply, payload: unknown, before: Headers, { maxBytes, omitHeaders }: RouteSettings): KeptReply | Problem {
  const body = bytesOf(payload)
  if (body === undefined) return { what: 'its payload is a stream', advice: 'Send an object, a string or a buffer' }
  if (body !== null && body.length > maxBytes) return { what: `its body has ${body.length} bytes, more than maxBytes (${maxBytes})`, advice: 'Raise maxBytes' }
  const headers = Object.entries(reply.getHeaders()).filter(([name, value]) =>
    value !== undefined && !NEVER_KEPT.has(name) && !omitHeaders.has(name) && String(before[name]) !== String(value))
  return { status: reply.statusCode, headers: JSON.stringify(headers), body }
}

/** Sets status and headers, and gives the body. */
export function putBack (reply: FastifyReply, { status, headers, body }: KeptReply): Buffer | null {
  reply.removeHeader('content-type') // which Fastify sets for a buffer that has none
  for (const [name, value] of JSON.parse(headers!) as [string, string | string[]][]) reply.removeHeader(name).header(name, value)
  reply.code(status!).header(REPLAYED, 'true')
  return body == null ? null : Buffer.from(body)
}

/** `undefined` if it is none of what can be sent at once. */
function bytesOf (payload: unknown): Buffer | null | undefined {
  if (payload == null) return null
  if (typeof payload === 'string') return Buffer.from(payload)
  return ArrayBuffer.isView(payload) ? Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength) : undefined
}

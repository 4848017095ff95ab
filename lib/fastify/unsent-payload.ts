import type { FastifyReply } from 'fastify'

/** A payload that is not sent, because an error is sent instead: what it has left behind. */

/** What other hooks have said of the payload, such as @fastify/compress and @fastify/etag, is not true of another one. */
const PAYLOAD_HEADERS = [
  'accept-ranges', 'content-digest', 'content-encoding', 'content-language', 'content-length', 'content-location', 'content-md5',
  'content-range', 'digest', 'etag', 'last-modified', 'repr-digest'
]

export function dropPayloadHeaders (reply: FastifyReply): void {
  for (const name of PAYLOAD_HEADERS) reply.removeHeader(name)
}

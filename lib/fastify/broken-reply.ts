import type { FastifyReply } from 'fastify'
import { constants, type Http2ServerResponse } from 'node:http2'

/** Ends a reply that must not become an error reply, so that the client sees that it is not whole. */
export function breakReply (reply: FastifyReply): void {
  reply.hijack() // Fastify 5.12 sends nothing more then, and stops the clock of a handlerTimeout
  breakConnection(reply.raw)
}

/** On HTTP/2, of the one stream. */
export function breakConnection (raw: FastifyReply['raw']): void {
  if (isHttp2(raw)) raw.stream.close(constants.NGHTTP2_INTERNAL_ERROR)
  else raw.destroy()
}

/** The client has left, and no event will say so any more; or it has got its reply. */
export function isGone (raw: FastifyReply['raw']): boolean {
  return isHttp2(raw) ? raw.stream.destroyed : raw.destroyed
}

export function isHttp2 (raw: unknown): raw is Http2ServerResponse {
  return (raw as Partial<Http2ServerResponse>).stream !== undefined
}

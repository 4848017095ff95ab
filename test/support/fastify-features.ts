import Fastify from 'fastify'

/** What Fastify has learnt since 5.0, which is the lowest version that the plugin takes: tests of it are skipped by name. */

const { version } = Fastify()
/** Can be asked for. The others came before it or with it, and cannot. */
const hasHandlerTimeout = 'FST_ERR_HANDLER_TIMEOUT' in Fastify.errorCodes

export const NEEDS_HANDLER_TIMEOUT = needs(hasHandlerTimeout, 'handlerTimeout')

/** An older one throws where nobody can catch it when Node refuses a header. */
export const NEEDS_HEADER_ERRORS = needs(hasHandlerTimeout, 'an answer to headers that cannot be sent')

/** An older one takes Node's web streams only. */
export const takesOtherWebStreams: boolean = hasHandlerTimeout

/** An older one ends the response with the stream, and does not wait for the trailers. */
export const waitsForTrailers: boolean = hasHandlerTimeout

/** An older one replies itself for a client that has left, also if the handler has sent a reply, or has returned it to send it later. */
export const waitsForReturnedReply: boolean = hasHandlerTimeout

function needs (isThere: boolean, what: string): { skip: string | false } {
  return { skip: !isThere && `Fastify ${version} has no ${what}` }
}

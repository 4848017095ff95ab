import createError, { type FastifyError } from '@fastify/error'

/** Every error of the extension; the docs' table is checked against this list. None of them repeats a key: clients' keys may be secret. */

type ErrorConstructor<Args extends unknown[]> = new (...args: Args) => FastifyError

/** route, header */
export const FST_ORM_IDEMPOTENCY_MISSING: ErrorConstructor<[string, string]> = createError(
  'FST_ORM_IDEMPOTENCY_MISSING', '%s takes no request without the header %s. Send a new key with each new request, and the same one when you send a request again', 400)

/** header, most characters, what came */
export const FST_ORM_IDEMPOTENCY_KEY: ErrorConstructor<[string, string, string]> = createError(
  'FST_ORM_IDEMPOTENCY_KEY', 'The header %s takes one key of 1 to %s visible ASCII characters, in double quotes or without, got %s. A random UUID is a good one', 400)

/** route; cause: what may work the next time */
export const FST_ORM_IDEMPOTENCY_IN_PROGRESS: ErrorConstructor<[string, { cause: unknown }?]> = createError(
  'FST_ORM_IDEMPOTENCY_IN_PROGRESS', '%s with this key is still running, and its reply is not known. Send the request again later, with the same key', 409)

/** route */
export const FST_ORM_IDEMPOTENCY_UNKNOWN: ErrorConstructor<[string]> = createError(
  'FST_ORM_IDEMPOTENCY_UNKNOWN', '%s with this key has committed a part of its work by hand, and has not replied: it is still running, or it was cut off. Ask what has become of it before you send the request with a new key', 409)

/** route */
export const FST_ORM_IDEMPOTENCY_MISMATCH: ErrorConstructor<[string]> = createError(
  'FST_ORM_IDEMPOTENCY_MISMATCH', '%s has got a key that another request has used: one with another method, URL or body. Send a new key with each new request', 422)

/** route, what its body is */
export const FST_ORM_IDEMPOTENCY_BODY: ErrorConstructor<[string, string]> = createError(
  'FST_ORM_IDEMPOTENCY_BODY', '%s cannot compare requests whose body is %s. Let a parser make an object, a string or a buffer of it, or set config.idempotency: false', 415)

/** route, what cannot be stored, what to do */
export const FST_ORM_IDEMPOTENCY_REPLY: ErrorConstructor<[string, string, string]> = createError(
  'FST_ORM_IDEMPOTENCY_REPLY', '%s has a key, and its reply cannot be stored: %s. Nothing is committed. %s, or set config.idempotency: false', 500)

/** route, what it lacks or has */
export const FST_ORM_IDEMPOTENCY_ROUTE: ErrorConstructor<[string, string]> = createError(
  'FST_ORM_IDEMPOTENCY_ROUTE', '%s cannot have config.idempotency: %s', 500)

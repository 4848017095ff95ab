import createError, { type FastifyError } from '@fastify/error'

/** The only error of the extension; the docs' table is checked against this list. */

/** guard, what it has found */
export const FST_ORM_GUARD: new (guard: string, found: string) => FastifyError = createError(
  'FST_ORM_GUARD', 'The guard "%s" has found this: %s', 500)

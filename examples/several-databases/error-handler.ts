import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'

/** Runs when the plugin has rolled the request back, on both databases: unless one of them has committed. */
export async function handleError (error: FastifyError, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const statusCode = error.statusCode ?? reply.statusCode   // which the plugin sets for exceptions of the database
  if (statusCode >= 400 && statusCode < 500) return reply.send(error)
  request.log.error({ err: error }, error.message)
  // requests use the main database first, so that is the one that has committed: the order stands
  if (error.code === 'FST_ORM_PARTIAL_COMMIT') return reply.code(202).send({ message: 'Ordered. The report will know of it later' })
  return reply.code(500).send({ statusCode: 500, error: 'Internal Server Error', message: 'Something went wrong' })
}

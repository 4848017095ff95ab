import { UniqueConstraintViolationException } from '@mikro-orm/core'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { DUPLICATE } from './errors.ts'

/**
 * Every error that is not the client's fault becomes a bare 500: the messages of a database are for the log only.
 * When this runs, the plugin has rolled the request back.
 */
export async function handleError (error: FastifyError, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  if (error instanceof UniqueConstraintViolationException) return reply.send(new DUPLICATE())
  const statusCode = error.statusCode ?? reply.statusCode   // which the plugin sets for exceptions of the database
  if (statusCode >= 400 && statusCode < 500) return reply.send(error)
  request.log.error({ err: error }, error.message)
  return reply.code(500).send({ statusCode: 500, error: 'Internal Server Error', message: 'Something went wrong' })
}

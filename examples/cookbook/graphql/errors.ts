import { NotFoundError, UniqueConstraintViolationException } from '@mikro-orm/core'
import type { FastifyReply } from 'fastify'
import { GraphQLError, type ExecutionResult } from 'graphql'
import mercurius, { type MercuriusContext } from 'mercurius'

/** What clients read in the place of an error of the database, whose text has values and names of tables. */
const SAID: [type: abstract new (...args: never) => Error, message: string][] = [
  [NotFoundError, 'Not Found'],
  [UniqueConstraintViolationException, 'There is one already']
]

/**
 * GraphQL answers errors with 200. Those of a field of the mutation itself are taken back with its savepoint, and the other
 * fields stand. With any other (of a field below, of the flush before the reply) nothing of a mutation may stay.
 */
export function formatErrors (execution: ExecutionResult & { errors: readonly GraphQLError[] }, context: MercuriusContext) {
  const { request, log } = context.reply
  const isPartly = execution.data != null && execution.errors.every(({ path }) => path?.length === 1)
  if (request.mutates && !isPartly) {
    request.isRefused = true
    execution = { ...execution, data: null }
  }
  const errors = execution.errors.map(error => {
    if (isForClients(error)) return error
    const known = SAID.find(([type]) => error.originalError instanceof type)
    if (known === undefined) log.error(error.originalError)
    return new GraphQLError(known?.[1] ?? 'Internal Server Error', { nodes: error.nodes, path: error.path })
  })
  return mercurius.defaultErrorFormatter({ ...execution, errors }, context)
}

/** GraphQL's own errors, and those of yours that say so. */
function isForClients ({ originalError }: GraphQLError): boolean {
  if (originalError === undefined || originalError instanceof GraphQLError) return true
  const { statusCode = 500 } = originalError as { statusCode?: number }
  return statusCode < 500
}

/** For the plugin. */
export function shouldCommit (request: { isRefused: boolean }, { statusCode }: Pick<FastifyReply, 'statusCode'>): boolean {
  return statusCode < 400 && !request.isRefused
}

declare module 'fastify' {
  interface FastifyRequest { mutates: boolean, isRefused: boolean }
}

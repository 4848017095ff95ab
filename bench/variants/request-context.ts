import { fastifyRequestContext } from '@fastify/request-context'
import type { Variant } from './variant.ts'

/** Another plugin that gives each request a store in an AsyncLocalStorage. */
export const requestContext: Variant = async app => {
  await app.register(fastifyRequestContext)
  return undefined
}

import { fastifyTRPCPlugin, type FastifyTRPCPluginOptions } from '@trpc/server/adapters/fastify'
import Fastify, { type FastifyInstance } from 'fastify'
import contextOrm, { type ContextOrmOptions } from 'fastify-context-orm'
import { books, type Books } from './router.ts'

export function buildApp ({ orm }: Pick<ContextOrmOptions, 'orm'>, router: Books = books): FastifyInstance {
  const app = Fastify()
  app.register(contextOrm, { orm })
  app.register(fastifyTRPCPlugin, { prefix: '/trpc', trpcOptions: { router } } satisfies FastifyTRPCPluginOptions<Books>)
  return app
}

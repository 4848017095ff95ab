import { raw } from '@mikro-orm/core'
import Fastify, { type FastifyInstance } from 'fastify'
import contextOrm, { em, type ContextOrmOptions } from 'fastify-context-orm'
import { Book } from './database.ts'

export function buildApp ({ orm }: Pick<ContextOrmOptions, 'orm'>): FastifyInstance {
  const app = Fastify()
  app.register(contextOrm, { orm })

  app.get('/books', async () => await em().find(Book, {}, { orderBy: { title: 'asc' } }))

  app.post<{ Body: { title: string } }>('/books', async ({ body }) => em().create(Book, { title: body.title }))

  app.post<{ Params: { id: string } }>('/books/:id/order', async ({ params }, reply) => {
    const id = Number(params.id)
    const taken = await em().nativeUpdate(Book, { id, stock: { $gt: 0 } }, { stock: raw('stock - 1') })
    if (taken === 0) reply.code(409)
    return await em().findOneOrFail(Book, { id })
  })

  return app
}

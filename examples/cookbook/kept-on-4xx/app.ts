import createError from '@fastify/error'
import { defineEntity, p } from '@mikro-orm/core'
import Fastify, { type FastifyInstance } from 'fastify'
import contextOrm, { afterRollback, em, runInContext, type ContextOrmOptions, type RouteOrmOptions } from 'fastify-context-orm'
import { Book } from '../books.ts'

export const Attempt = defineEntity({
  name: 'Attempt',
  properties: { id: p.integer().primary(), what: p.string() }
})

const SOLD_OUT = createError<[string]>('SOLD_OUT', '"%s" is sold out', 409)

export function buildApp ({ orm }: Pick<ContextOrmOptions, 'orm'>): FastifyInstance {
  const app = Fastify()
  app.register(contextOrm, { orm })
  app.register(async app => {
    // all that the route did is taken back, and then the attempt is noted
    app.post<{ Params: { title: string } }>('/order/:title', async ({ params: { title } }) => {
      afterRollback(() => runInContext({ name: 'note of an order' }, () => { em().create(Attempt, { what: `order of ${title}` }) }))
      const book = await em().findOneOrFail(Book, { title })
      book.stock -= 1
      await em().flush()
      if (book.stock < 0) throw new SOLD_OUT(title)
      return book
    })

    // the refusal is the result of the route, and is kept
    const keepsRefusals = { shouldCommit: (_request, { statusCode }) => statusCode < 400 || statusCode === 422 } satisfies RouteOrmOptions
    app.post<{ Params: { title: string } }>('/review/:title', { config: { orm: keepsRefusals } }, async ({ params: { title } }, reply) => {
      em().create(Attempt, { what: `review of ${title}` })
      if (await em().count(Book, { title }) === 1) return { title }
      return reply.code(422).send({ message: 'There is no such book' })
    })
  })
  return app
}

import type { FastifyInstance } from 'fastify'
import { createAuthor, getAuthor, listAuthors } from './authors.ts'
import type { Paging } from './paging.ts'
import * as schemas from './schemas.ts'

export async function authorRoutes (app: FastifyInstance): Promise<void> {
  app.get<{ Querystring: Paging }>('/', {
    schema: { querystring: schemas.page, response: schemas.replies(200, schemas.pageOf(schemas.author)) },
    config: { orm: { readOnly: true } }
  }, request => listAuthors(request.query))

  app.get<{ Params: { id: number } }>('/:id', {
    schema: { params: schemas.byId, response: schemas.replies(200, schemas.author) },
    config: { orm: { readOnly: true } }
  }, request => getAuthor(request.params.id))

  app.post<{ Body: { name: string } }>('/', {
    schema: { body: schemas.newAuthor, response: schemas.replies(201, schemas.author) }
  }, async (request, reply) => {
    reply.code(201)
    return createAuthor(request.body.name)
  })
}

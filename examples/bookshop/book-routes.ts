import type { FastifyInstance } from 'fastify'
import { createBook, getBook, listBooks, orderBook, renameBook, type BookSearch, type NewBook } from './books.ts'
import * as schemas from './schemas.ts'

interface ById {
  id: number
}

export async function bookRoutes (app: FastifyInstance): Promise<void> {
  app.get<{ Querystring: BookSearch }>('/', {
    schema: { querystring: schemas.bookSearch, response: schemas.replies(200, schemas.pageOf(schemas.book)) },
    config: { orm: { readOnly: true } }
  }, request => listBooks(request.query))

  app.get<{ Params: ById }>('/:id', {
    schema: { params: schemas.byId, response: schemas.replies(200, schemas.book) },
    config: { orm: { readOnly: true } }
  }, request => getBook(request.params.id))

  app.post<{ Body: NewBook }>('/', {
    schema: { body: schemas.newBook, response: schemas.replies(201, schemas.book) }
  }, (request, reply) => {
    reply.code(201)
    return createBook(request.body)
  })

  app.patch<{ Params: ById, Body: { title: string } }>('/:id', {
    schema: { params: schemas.byId, body: schemas.newTitle, response: schemas.replies(200, schemas.book) }
  }, request => renameBook(request.params.id, request.body.title))

  app.post<{ Params: ById }>('/:id/order', {
    schema: { params: schemas.byId, response: schemas.replies(200, schemas.book) }
  }, request => orderBook(request.params.id))
}

import type { FastifyInstance } from 'fastify'
import { changeNote, countNotes, createNote, deleteNote, getNote, listNotes, searchNotes } from './notes.ts'

interface ById {
  id: number
}

interface NewNote {
  body: string
}

const byId = { type: 'object', required: ['id'], properties: { id: { type: 'integer', minimum: 1, maximum: 2 ** 31 - 1 } } }
const newNote = { type: 'object', required: ['body'], properties: { body: { type: 'string', minLength: 1, maxLength: 1000 } } }
const search = { type: 'object', required: ['text'], properties: { text: { type: 'string' } } }
const orm = { readOnly: true }

export async function noteRoutes (app: FastifyInstance): Promise<void> {
  app.get('/', { config: { orm } }, () => listNotes())

  app.get('/count', { config: { orm } }, () => countNotes())

  app.get<{ Querystring: { text: string } }>('/search', { schema: { querystring: search }, config: { orm } },
    request => searchNotes(request.query.text))

  app.get<{ Params: ById }>('/:id', { schema: { params: byId }, config: { orm } }, request => getNote(request.params.id))

  app.post<{ Body: NewNote }>('/', { schema: { body: newNote } }, async (request, reply) => {
    reply.code(201)
    return createNote(request.body.body)
  })

  app.patch<{ Params: ById, Body: NewNote }>('/:id', { schema: { params: byId, body: newNote } },
    request => changeNote(request.params.id, request.body.body))

  app.delete<{ Params: ById }>('/:id', { schema: { params: byId } }, async (request, reply) => {
    await deleteNote(request.params.id)
    reply.code(204)
  })
}

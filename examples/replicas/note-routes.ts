import type { FastifyInstance } from 'fastify'
import { commit, em } from 'fastify-context-orm'
import { Note } from './entities.ts'
import { countWords } from './word-count.ts'

const body = { type: 'object', required: ['text'], properties: { text: { type: 'string', minLength: 1 } } }

export async function noteRoutes (app: FastifyInstance): Promise<void> {
  app.post<{ Body: { text: string } }>('/notes', { schema: { body } }, async request => em().create(Note, request.body))

  // from a replica that has all that this client has written
  app.get('/notes', async () => await em().find(Note, {}, { orderBy: { id: 1 } }))

  // a snapshot of a replica, for as long as it takes
  app.get('/summary', { config: { orm: { isolationLevel: 'repeatable read', readOnly: true } } }, async () => ({
    notes: await em().count(Note),
    longest: (await em().find(Note, {}, { orderBy: { text: 'desc' }, limit: 1 }))[0]?.text ?? null
  }))

  // what must not be a moment old for anybody
  app.get('/exact', { config: { orm: { replica: false } } }, async () => ({ notes: await em().count(Note) }))

  // a job gets the token of what was committed before it was sent
  app.post<{ Body: { text: string } }>('/counted', { schema: { body } }, async request => {
    em().create(Note, request.body)
    const after = await commit()
    return { words: await countWords(app.orm, after) }
  })
}

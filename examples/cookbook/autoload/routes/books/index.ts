import type { FastifyInstance } from 'fastify'
import { em } from 'fastify-context-orm'
import { Book } from '../../../books.ts'

/** Their prefix is the name of the folder. */
export default async function bookRoutes (app: FastifyInstance): Promise<void> {
  app.get('/', async () => await em().find(Book, {}))

  app.post<{ Body: { title: string } }>('/', async ({ body }) => em().create(Book, { title: body.title }))
}

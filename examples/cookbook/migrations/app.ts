import Fastify, { type FastifyInstance } from 'fastify'
import contextOrm, { em } from 'fastify-context-orm'
import { Book } from '../books.ts'
import { openDatabase } from './database.ts'

export async function buildApp (url: string): Promise<FastifyInstance> {
  const orm = await openDatabase(url)                     // here, Fastify's pluginTimeout of 10 s does not count
  const app = Fastify()
  app.register(contextOrm, { orm: () => orm })            // a function: it is closed with the app
  app.post<{ Body: { title: string } }>('/books', async ({ body }) => em().create(Book, { title: body.title }))
  return app
}

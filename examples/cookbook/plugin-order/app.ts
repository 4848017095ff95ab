import compress from '@fastify/compress'
import etag from '@fastify/etag'
import Fastify, { type FastifyInstance } from 'fastify'
import contextOrm, { em, type ContextOrmOptions } from 'fastify-context-orm'
import { Book } from '../books.ts'
import { access, audit, auth, maintenance } from './neighbours.ts'

export function buildApp ({ orm }: Pick<ContextOrmOptions, 'orm'>): FastifyInstance {
  const app = Fastify()
  // 1. what answers without a database: limits, CORS, maintenance
  app.register(maintenance)
  // 2. this plugin
  app.register(contextOrm, { orm })
  // 3. what uses em() in its hooks
  app.register(auth)
  app.register(audit)
  app.register(access)
  // anywhere: what changes the payload. The commit comes after it
  app.register(etag)
  app.register(compress, { threshold: 0 })
  // 4. routes
  app.register(async app => {
    app.get('/books', async () => await em().find(Book, {}))
    app.post<{ Body: { title: string } }>('/books', async ({ body }) => em().create(Book, { title: body.title }))
  })
  return app
}

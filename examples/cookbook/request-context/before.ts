import jwt from '@fastify/jwt'
import { NotFoundError, RequestContext } from '@mikro-orm/core'
import Fastify, { type FastifyInstance } from 'fastify'
import { openServices, type IUser } from './database.ts'

class AuthError extends Error {}

export async function buildApp (dbName: string): Promise<FastifyInstance> {
  const db = await openServices(dbName)
  const app = Fastify()
  app.register(jwt, { secret: '12345678' })

  app.addHook('onRequest', (_request, _reply, done) => {
    RequestContext.create(db.em, done)
  })
  app.addHook('onRequest', async request => {
    if (request.headers.authorization === undefined) return
    const { id } = await request.jwtVerify<{ id: number }>()
    request.user = await db.user.findOneOrFail(id)
  })
  app.setErrorHandler((error: Error, _request, reply) => {
    if (error instanceof AuthError) return reply.code(401).send({ error: error.message })
    if (error instanceof NotFoundError) return reply.code(404).send({ error: error.message })
    return reply.code(500).send({ error: error.message })
  })
  app.addHook('onClose', async () => {
    await db.orm.close()
  })

  app.post<{ Body: { email: string } }>('/sign-up', async ({ body: { email } }) => {
    if (await db.user.exists(email)) throw new Error('This email is registered already')
    const user = db.user.create({ email })
    await db.em.flush()
    return { token: app.jwt.sign({ id: user.id }) }
  })

  app.post<{ Body: { title: string } }>('/articles', async ({ user, body: { title } }) => {
    if (user === null) throw new AuthError('Who are you?')
    const article = db.article.create({ title, author: user as IUser })
    await db.em.flush()
    if (await db.article.count({ author: user.id }) > 3) throw new Error('Three are enough')
    return article
  })

  app.get<{ Params: { title: string } }>('/articles/:title', async ({ params: { title } }) => (
    await db.article.findOneOrFail({ title })
  ))
  return app
}

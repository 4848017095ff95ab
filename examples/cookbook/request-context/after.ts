import createError from '@fastify/error'
import jwt from '@fastify/jwt'
import Fastify, { type FastifyInstance } from 'fastify'
import contextOrm from 'fastify-context-orm'
import { openServices, type IUser } from './database.ts'

const AuthError = createError('UNAUTHORIZED', 'Who are you?', 401)

export async function buildApp (dbName: string): Promise<FastifyInstance> {
  const db = await openServices(dbName)
  const app = Fastify()
  app.register(jwt, { secret: '12345678' })

  app.register(contextOrm, { orm: () => db.orm })
  app.addHook('onRequest', async request => {
    if (request.headers.authorization === undefined) return
    const { id } = await request.jwtVerify<{ id: number }>()
    request.user = await db.user.findOneOrFail(id)
  })

  app.post<{ Body: { email: string } }>('/sign-up', async ({ body: { email } }) => {
    const user = db.user.create({ email })
    await db.em.flush()
    return { token: app.jwt.sign({ id: user.id }) }
  })

  app.register(async app => {
    app.post<{ Body: { title: string } }>('/articles', async ({ user, body: { title } }) => {
      if (user === null) throw new AuthError()
      const article = db.article.create({ title, author: user as IUser })
      if (await db.article.count({ author: user.id }) > 3) throw new Error('Three are enough')
      return article
    })

    app.get<{ Params: { title: string } }>('/articles/:title', async ({ params: { title } }) => (
      await db.article.findOneOrFail({ title })
    ))
  })
  return app
}

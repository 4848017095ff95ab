import createError from '@fastify/error'
import cookie from '@fastify/cookie'
import session from '@fastify/session'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import contextOrm, { commit, em, type ContextOrmOptions } from 'fastify-context-orm'
import { Book } from '../books.ts'
import { store } from './store.ts'

const UNAUTHORIZED = createError('UNAUTHORIZED', 'No such name and password', 401)
const TOO_MANY_ATTEMPTS = createError('TOO_MANY_ATTEMPTS', 'Too many attempts', 429)

interface Login {
  name: string
  password: string
}

interface Options extends Pick<ContextOrmOptions, 'orm'>, Pick<FastifyServerOptions, 'logger'> {
  /** At least 32 characters. */
  secret: string
}

export function buildApp ({ orm, logger, secret }: Options): FastifyInstance {
  const app = Fastify({ logger }) as FastifyInstance
  app.register(contextOrm, { orm })                       // before the session, whose hooks use it
  app.register(cookie)
  app.register(session, {
    secret,
    store,
    cookie: { secure: 'auto' },
    saveUninitialized: false,
    rolling: false                                        // or else every request writes
  })

  app.post<{ Body: Login }>('/login', async request => {
    const { body, session } = request
    session.attempts = (session.attempts ?? 0) + 1
    if (session.attempts > 3) throw new TOO_MANY_ATTEMPTS()
    if (body.password !== 'secret') {
      await session.save()
      await commit()                                      // kept, whatever the reply
      throw new UNAUTHORIZED()
    }
    await session.regenerate()                            // a new id, which nobody can have planted
    request.session.user = body.name
    return { name: body.name }
  })

  app.post<{ Body: { title: string } }>('/books', async ({ body, session }) => {
    if (session.user === undefined) throw new UNAUTHORIZED()
    session.added = (session.added ?? 0) + 1              // saved with the book, or not at all
    return em().create(Book, { title: body.title })
  })

  app.get('/session', async ({ session: { user, added, attempts } }) => ({ user, added, attempts }))

  app.post('/logout', async ({ session }, reply) => {
    await session.destroy()
    return reply.code(204).send()
  })
  return app
}

declare module 'fastify' {
  interface Session { user?: string, added?: number, attempts?: number }
}

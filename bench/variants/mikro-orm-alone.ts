import type { EntityManager } from '@mikro-orm/core'
import { nextId } from '../app.ts'
import { Book, Loan } from '../entities.ts'
import type { Variant } from './variant.ts'

/** Each handler forks, and flushes what it has written: the calls that nobody can do without, and nothing around them. */
export const mikroOrmAlone: Variant = async (app, orm) => {
  const fork = (): EntityManager => orm.em.fork({ disableContextResolution: true })

  app.get('/book', async () => fork().findOneOrFail(Book, { id: nextId() }))

  app.post('/loan', async (_request, reply) => {
    const em = fork()
    em.create(Loan, { book: nextId(), reader: 'Jane' })
    await em.flush()
    reply.code(201)
    return { ok: true }
  })
  return undefined
}

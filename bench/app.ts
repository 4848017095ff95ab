import type { EntityManager } from '@mikro-orm/core'
import type { FastifyInstance } from 'fastify'
import { setTimeout as sleep } from 'node:timers/promises'
import { Book, BOOKS, Loan } from './entities.ts'

export const SOMETHING_ELSE_MS = 40

let last = 0

/** The id of a book, another one each time. */
export const nextId = (): number => last++ % BOOKS + 1

/** The workloads, the same for every variant. */
export function declareWorkloads (app: FastifyInstance, em: (() => EntityManager) | undefined): void {
  app.get('/nothing', async () => ({ ok: true }))
  app.get('/throw', async () => { throw new Error('Nobody expects this') })
  if (em === undefined) return

  app.get('/book', async () => em().findOneOrFail(Book, { id: nextId() }))

  app.get('/books', async () => em().find(Book, {}, { orderBy: { id: 'asc' }, limit: 50 }))

  app.post('/loan', async (_request, reply) => {
    em().create(Loan, { book: nextId(), reader: 'Jane' })
    reply.code(201)
    return { ok: true }
  })

  app.post('/once', { config: { idempotency: true } }, async (_request, reply) => {
    em().create(Loan, { book: nextId(), reader: 'Jane' })
    reply.code(201)
    return { ok: true }
  })

  app.post('/wait', async (_request, reply) => {
    const book = await em().findOneOrFail(Book, { id: nextId() })
    await sleep(SOMETHING_ELSE_MS)
    em().create(Loan, { book: book.id, reader: 'Jane' })
    reply.code(201)
    return { ok: true }
  })

  app.post('/conflict', async (_request, reply) => {
    em().create(Loan, { book: nextId(), reader: 'Jane' })
    await em().flush()
    reply.code(409)
    return { message: 'Somebody has it already' }
  })

  app.get<{ Params: { count: string } }>('/statements/:count', async ({ params: { count } }) => {
    for (let i = 0; i < Number(count); i++) await em().count(Book, { id: nextId() })
    return { ok: true }
  })

  app.post<{ Params: { count: string } }>('/entities/:count', async ({ params: { count } }, reply) => {
    for (let i = 0; i < Number(count); i++) em().create(Loan, { book: nextId(), reader: 'Jane' })
    reply.code(201)
    return { ok: true }
  })
}

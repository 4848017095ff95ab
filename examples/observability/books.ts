import { raw } from '@mikro-orm/core'
import type { FastifyInstance } from 'fastify'
import { afterCommit, em, runInContext } from 'fastify-context-orm'
import { Book } from './database.ts'

export interface BookOptions {
  /** Tells somebody of a new book. */
  announce: (title: string) => Promise<void>
}

interface ById {
  Params: { id: number }
}

export async function bookRoutes (app: FastifyInstance, { announce }: BookOptions): Promise<void> {
  app.get('/', async () => await em().find(Book, {}, { orderBy: { title: 'asc' } }))

  app.post<{ Body: { title: string } }>('/', async request => {
    const { title } = request.body
    afterCommit(() => announce(title))
    return em().create(Book, { title })
  })

  app.post<ById>('/:id/order', async request => {
    const { id } = request.params
    const { title } = await runInContext({ name: 'look up', readOnly: true }, () => em().findOneOrFail(Book, { id }))
    const taken = await em().nativeUpdate(Book, { id, stock: { $gt: 0 } }, { stock: raw('stock - 1') })
    if (taken === 0) throw Object.assign(new Error(`"${title}" is sold out`), { statusCode: 409 })
    return { title }
  })
}

/** A job: an app would call it every night. */
export async function restock (app: FastifyInstance): Promise<number> {
  return await runInContext({ orm: app.orm, name: 'restock' }, () => em().nativeUpdate(Book, { stock: 0 }, { stock: 3 }))
}

import { TRPCError } from '@trpc/server'
import { em } from 'fastify-context-orm'
import { Book } from '../books.ts'
import { procedure, router } from './trpc.ts'

const title = (input: unknown): string => {
  if (typeof input === 'string' && input !== '') return input
  throw new TRPCError({ code: 'BAD_REQUEST', message: 'A title is expected' })
}

export const books = router({
  list: procedure.query(async () => await em().find(Book, {}, { orderBy: { title: 'asc' } })),

  add: procedure.input(title).mutation(({ input }) => em().create(Book, { title: input })),

  order: procedure.input(title).mutation(async ({ input }) => {
    const book = await em().findOneOrFail(Book, { title: input })
    book.stock -= 1
    await em().flush()
    if (book.stock < 0) throw new TRPCError({ code: 'CONFLICT', message: `"${input}" is sold out` })
    return book
  })
})

export type Books = typeof books

import { UniqueConstraintViolationException } from '@mikro-orm/core'
import { initTRPC, TRPCError } from '@trpc/server'
import { runInContext } from 'fastify-context-orm'

const t = initTRPC.create({
  errorFormatter ({ shape, error }) {
    // the text of a database's error, and its stack, have values and names of tables
    return error.code === 'INTERNAL_SERVER_ERROR' ? { ...shape, message: 'Internal Server Error', data: { ...shape.data, stack: undefined } } : shape
  }
})

export const router = t.router

/** Each procedure of a batch is committed, or rolled back, by itself, before its result is sent. */
export const procedure = t.procedure.use(async ({ next, path, type, signal }) => {
  if (type === 'subscription') return await next()
  try {
    return await runInContext({ name: path, signal }, async () => {
      const result = await next()
      if (!result.ok) throw result.error // next() does not throw: without this, half a procedure would be committed
      return result
    })
  } catch (error) {
    if (!(error instanceof UniqueConstraintViolationException)) throw error
    throw new TRPCError({ code: 'CONFLICT', message: 'There is one already', cause: error })
  }
})

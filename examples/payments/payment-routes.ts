import type { InferEntity } from '@mikro-orm/core'
import type { FastifyInstance } from 'fastify'
import { em } from 'fastify-context-orm'
import { Account } from './entities.ts'
import { pay } from './payments.ts'

declare module 'fastify' {
  interface FastifyRequest {
    account: InferEntity<typeof Account> | null
  }
}

const body = {
  type: 'object',
  required: ['to', 'amount'],
  properties: { to: { type: 'integer' }, amount: { type: 'integer', minimum: 1 } }
}

/** A payment that was declined stays declined when it is sent again: its reply is kept, too. */
const once = {
  idempotency: { required: true },
  orm: { shouldCommit: (_request: unknown, reply: { statusCode: number }) => reply.statusCode < 400 || reply.statusCode === 402 }
}

export async function paymentRoutes (app: FastifyInstance): Promise<void> {
  app.decorateRequest('account', null)
  app.addHook('onRequest', async (request, reply) => {
    request.account = await em().findOne(Account, { token: request.headers.authorization ?? '' })
    if (request.account === null) return reply.code(401).send({ message: 'Who are you?' })
  })

  app.get('/account', async request => ({ balance: request.account!.balance }))

  app.post<{ Body: { to: number, amount: number } }>('/payments', { schema: { body }, config: once }, async (request, reply) => {
    const payment = await pay({ from: request.account!.id, ...request.body })
    return payment === undefined ? reply.code(402).send({ message: 'There is not enough money' }) : reply.code(201).send(payment)
  })
}

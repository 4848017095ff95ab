import type { FastifyInstance } from 'fastify'
import { placeOrders, type Item } from './orders.ts'

const items = {
  type: 'array',
  minItems: 1,
  maxItems: 100,
  items: {
    type: 'object',
    required: ['product', 'quantity'],
    properties: {
      product: { type: 'string', maxLength: 200, pattern: '^\\P{Cc}+$' },
      quantity: { type: 'integer', minimum: 1, maximum: 1000 }
    }
  }
}

export async function orderRoutes (app: FastifyInstance): Promise<void> {
  app.post<{ Body: Item[] }>('/orders', { schema: { body: items } }, async (request, reply) => {
    reply.code(201)
    return placeOrders(request.body)
  })
}

import type { FastifyInstance } from 'fastify'
import { em, type RouteOrmOptions } from 'fastify-context-orm'
import { Order, OutboxEntry } from './main-entities.ts'
import { Sale } from './reporting-entities.ts'

/** Of each database, all statements see the same moment: no order comes between the count of orders and the outbox. */
const snapshot = { isolationLevel: 'repeatable read', readOnly: true } satisfies RouteOrmOptions

export async function reportRoutes (app: FastifyInstance): Promise<void> {
  app.get('/report', { config: { orm: snapshot } }, async () => ({
    orders: await em().count(Order),
    notReported: await em().count(OutboxEntry),
    sales: await em('reporting').countBy(Sale, 'product')
  }))

  app.get('/health', { config: { orm: false } }, async (_request, reply) => {
    const connected = Object.entries(app.orms).map(async ([name, orm]) => [name, await orm.isConnected()] as const)
    const databases = Object.fromEntries(await Promise.all(connected))
    if (Object.values(databases).includes(false)) reply.code(503)
    return databases
  })
}

import type { InferEntity } from '@mikro-orm/core'
import { em } from 'fastify-context-orm'
import type { Order, Product } from './main-entities.ts'
import { Sale } from './reporting-entities.ts'

type WithProduct = Pick<InferEntity<typeof Order>, 'id' | 'quantity' | 'amount'> & { product: Pick<InferEntity<typeof Product>, 'name'> }

/** Writes what reporting has of an order, be it for the first time or once more. */
export async function writeSale ({ id, product, quantity, amount }: WithProduct): Promise<void> {
  await em('reporting').upsert(Sale, { orderId: id, product: product.name, quantity, amount })
}

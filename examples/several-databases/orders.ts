import { raw } from '@mikro-orm/core'
import { em } from 'fastify-context-orm'
import { NOT_FOUND, SOLD_OUT } from './errors.ts'
import { Order, OutboxEntry, Product } from './main-entities.ts'
import { emptyOutboxAfterCommit } from './outbox.ts'
import { writeSale } from './sales.ts'

export interface Item {
  product: string
  quantity: number
}

/** All of them or, on both databases, none: when one is sold out, what was written before is rolled back. */
export async function placeOrders (items: Item[]) {
  const orders = []
  for (const item of items) orders.push(await placeOrder(item))
  return orders
}

/**
 * Databases commit one after the other, in the order in which they were registered. The main one, which has the outbox, has to
 * be the first.
 */
async function placeOrder ({ product: name, quantity }: Item) {
  const taken = await em().nativeUpdate(Product, { name, stock: { $gte: quantity } }, { stock: raw('stock - ?', [quantity]) })
  const product = await em().findOneOrFail(Product, { name }, { failHandler: () => new NOT_FOUND(name) })
  if (taken === 0) throw new SOLD_OUT(name)

  const order = em().create(Order, { product, quantity, amount: quantity * product.price })
  const entry = em().create(OutboxEntry, { order })
  await em().flush() // for the order's id
  await writeSale(order)
  emptyOutboxAfterCommit(entry)
  return order
}

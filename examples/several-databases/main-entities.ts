import { defineEntity, p } from '@mikro-orm/core'

export const Product = defineEntity({
  name: 'Product',
  tableName: 'shop_product',
  properties: {
    id: p.integer().primary(),
    name: p.string().length(200).unique(),
    /** In cents. */
    price: p.integer(),
    stock: p.integer()
  }
})

export const Order = defineEntity({
  name: 'Order',
  tableName: 'shop_order',
  properties: {
    id: p.integer().primary(),
    product: () => p.manyToOne(Product),
    quantity: p.integer(),
    /** In cents. */
    amount: p.integer()
  }
})

/** An order that reporting may not have. It is written with the order, so there is none without it. */
export const OutboxEntry = defineEntity({
  name: 'OutboxEntry',
  tableName: 'shop_outbox',
  properties: {
    id: p.integer().primary(),
    order: () => p.manyToOne(Order)
  }
})

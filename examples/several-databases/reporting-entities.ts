import { defineEntity, p } from '@mikro-orm/core'

export const Sale = defineEntity({
  name: 'Sale',
  properties: {
    /** Of the main database. It makes a sale that is written twice one. */
    orderId: p.integer().primary().autoincrement(false),
    product: p.string(),
    quantity: p.integer(),
    amount: p.integer()
  }
})

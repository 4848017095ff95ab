import { defineEntity, p } from '@mikro-orm/core'

export const Account = defineEntity({
  name: 'Account',
  tableName: 'bank_account',
  properties: {
    id: p.integer().primary(),
    /** What its owner sends to say who he is. */
    token: p.string().length(100).unique(),
    /** In cents. */
    balance: p.integer()
  }
})

export const Payment = defineEntity({
  name: 'Payment',
  tableName: 'bank_payment',
  properties: {
    id: p.integer().primary(),
    from: () => p.manyToOne(Account),
    to: () => p.manyToOne(Account),
    /** In cents. */
    amount: p.integer()
  }
})

import { raw } from '@mikro-orm/core'
import { em } from 'fastify-context-orm'
import { Account, Payment } from './entities.ts'

export interface Order {
  from: number
  to: number
  amount: number
}

/** `undefined` if there is not enough money. The database counts: of two payments that see the last cent, one gets it. */
export async function pay ({ from, to, amount }: Order) {
  const taken = await em().nativeUpdate(Account, { id: from, balance: { $gte: amount } }, { balance: raw('balance - ?', [amount]) })
  if (taken === 0) return undefined
  await em().nativeUpdate(Account, { id: to }, { balance: raw('balance + ?', [amount]) })
  const payment = em().create(Payment, { from, to, amount })
  await em().flush() // for its id
  return { id: payment.id, from, to, amount }
}

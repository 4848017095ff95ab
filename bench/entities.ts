import { defineEntity, p } from '@mikro-orm/core'

/** What is read. */
export const Book = defineEntity({
  name: 'Book',
  properties: {
    id: p.integer().primary(),
    title: p.string(),
    stock: p.integer()
  }
})

/** What is written: only ever added to, so that requests do not wait for each other's rows. */
export const Loan = defineEntity({
  name: 'Loan',
  properties: {
    id: p.integer().primary(),
    book: p.integer(),
    reader: p.string()
  }
})

export const BOOKS = 1000

import { defineEntity, p } from '@mikro-orm/core'

export const Author = defineEntity({
  name: 'Author',
  properties: {
    id: p.integer().primary(),
    name: p.string().length(200).unique()
  }
})

export const Book = defineEntity({
  name: 'Book',
  properties: {
    id: p.integer().primary(),
    title: p.string().length(200).unique(),
    stock: p.integer().default(0),
    author: () => p.manyToOne(Author)
  }
})

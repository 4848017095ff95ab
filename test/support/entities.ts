import { defineEntity, p } from '@mikro-orm/sqlite'

export const Author = defineEntity({
  name: 'Author',
  properties: {
    id: p.integer().primary(),
    name: p.string().unique(),
    books: () => p.oneToMany(Book).mappedBy('author')
  }
})

export const Book = defineEntity({
  name: 'Book',
  properties: {
    id: p.integer().primary(),
    title: p.string().unique(),
    stock: p.integer().default(3),
    author: () => p.manyToOne(Author).nullable()
  }
})

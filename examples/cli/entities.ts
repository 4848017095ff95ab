import { defineEntity, p } from '@mikro-orm/core'

export const Book = defineEntity({
  name: 'Book',
  tableName: 'imported_book',
  properties: {
    id: p.integer().primary(),
    isbn: p.string().length(13).unique(),
    title: p.string().length(200),
    author: p.string().length(200),
    stock: p.integer()
  }
})

/** How far the import of a file has come. Written with the rows, it is true whatever happens to the process. */
export const Import = defineEntity({
  name: 'Import',
  tableName: 'book_import',
  properties: {
    id: p.integer().primary(),
    /** Its whole path. */
    file: p.text().unique(),
    /** How many of its rows are imported: the first ones. */
    rows: p.integer().default(0),
    /** Of these rows, by which it shows if they have changed in the file since. */
    fingerprint: p.string().default('')
  }
})

import { raw } from '@mikro-orm/core'
import { em } from 'fastify-context-orm'
import { authorNamed } from './authors.ts'
import { Book } from './entities.ts'
import { NOT_FOUND, SOLD_OUT } from './errors.ts'
import { pageOf, type Paging } from './paging.ts'

export interface BookSearch extends Paging {
  /** A part of the title. */
  title?: string
  /** A part of the author's name. */
  author?: string
}

export interface NewBook {
  title: string
  author: string
  stock: number
}

export async function listBooks ({ title, author, ...paging }: BookSearch) {
  const where = {
    ...(title !== undefined && contains('title', title)),
    ...(author !== undefined && { author: contains('name', author) })
  }
  return pageOf(await em().findAndCount(Book, where, { ...paging, populate: ['author'], orderBy: { title: 'asc' } }))
}

export async function getBook (id: number) {
  return await em().findOneOrFail(Book, id, { populate: ['author'], failHandler: () => new NOT_FOUND('book', id) })
}

/** Nobody flushes or commits: the plugin does so before the reply, and a title that is taken takes the author along. */
export async function createBook ({ title, author, stock }: NewBook) {
  return em().create(Book, { title, author: await authorNamed(author), stock })
}

export async function renameBook (id: number, title: string) {
  const book = await getBook(id)
  book.title = title
  return book
}

/** The database counts, not the EntityManager: of two requests that see the last copy, only one gets it. */
export async function orderBook (id: number) {
  const taken = await em().nativeUpdate(Book, { id, stock: { $gt: 0 } }, { stock: raw('stock - 1') })
  const book = await getBook(id)
  if (taken === 0) throw new SOLD_OUT(book.title)
  return book
}

/** In upper or lower case. `like` as both databases have it, in which `%` and `_` of the client mean themselves. */
function contains (column: string, text: string): object {
  const pattern = `%${text.replace(/[!%_]/g, '!$&')}%`
  return { [raw(alias => `lower(${alias}.${column}) like lower(?) escape '!'`, [pattern])]: [] }
}

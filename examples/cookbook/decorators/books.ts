import { UniqueConstraintViolationException, type MikroORM } from '@mikro-orm/core'
import { Transactional } from '@mikro-orm/decorators/es'
import { em } from 'fastify-context-orm'
import { Book } from './book.ts'

export class Books {
  /** For @Transactional(): its EntityManager is that of the request. */
  readonly orm: MikroORM

  constructor (orm: MikroORM) {
    this.orm = orm
  }

  async order (slug: string): Promise<Book> {
    const book = await em().findOneOrFail(Book, { slug })
    book.order()
    return book
  }

  /** Those that are there already are left out. */
  async addAll (titles: string[]): Promise<Book[]> {
    const added = []
    for (const title of titles) {
      try {
        added.push(await this.add(title))
      } catch (error) {
        if (!(error instanceof UniqueConstraintViolationException)) throw error
      }
    }
    return added
  }

  /** Inside of a request, a savepoint: what fails in it can be caught. */
  @Transactional()
  async add (title: string): Promise<Book> {
    return em().create(Book, new Book(title))
  }
}

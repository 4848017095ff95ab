import { EntityManager } from '@mikro-orm/core'
import { HttpException, Injectable } from '@nestjs/common'
import { Book } from '../books.ts'

@Injectable()
export class BooksService {
  // MikroORM's own, injected once: inside a request it is that of the request
  constructor (private readonly em: EntityManager) {}

  async list () {
    return await this.em.find(Book, {}, { orderBy: { title: 'asc' } })
  }

  /** Nobody flushes or commits. */
  add (title: string) {
    return this.em.create(Book, { title })
  }

  async order (title: string) {
    const book = await this.em.findOneOrFail(Book, { title })
    book.stock -= 1
    await this.em.flush()
    if (book.stock < 0) throw new HttpException(`"${title}" is sold out`, 409) // takes back what was flushed
    return book
  }
}

import type { Opt } from '@mikro-orm/core'
import { BeforeCreate, BeforeUpdate, Entity, PrimaryKey, Property } from '@mikro-orm/decorators/es'

@Entity()
export class Book {
  @PrimaryKey({ type: 'integer' })
  id!: number

  @Property({ type: 'string' })
  title: string

  @Property({ type: 'string', unique: true })
  slug!: string & Opt

  @Property({ type: 'integer', default: 3 })
  stock!: number & Opt

  constructor (title: string) {
    this.title = title
  }

  order (): void {
    if (this.stock === 0) throw new SoldOut(`"${this.title}" is sold out`)
    this.stock -= 1
  }

  /** With the flush, and so in the reply. */
  @BeforeCreate()
  @BeforeUpdate()
  makeSlug (): void {
    this.slug = this.title.toLowerCase().replaceAll(' ', '-')
  }
}

export class SoldOut extends Error {
  readonly statusCode = 409
}

import { Body, Controller, Get, Param, Post, UseInterceptors } from '@nestjs/common'
import { BooksService } from './books.service.ts'
import { EnvelopeInterceptor } from './envelope.interceptor.ts'

@Controller('books')
export class BooksController {
  constructor (private readonly books: BooksService) {}

  @Get()
  list () {
    return this.books.list()
  }

  @Post()
  add (@Body('title') title: string) {
    return this.books.add(title)
  }

  @Post('envelope')
  @UseInterceptors(EnvelopeInterceptor)
  addInEnvelope (@Body('title') title: string) {
    return this.books.add(title)
  }

  @Post(':title/order')
  order (@Param('title') title: string) {
    return this.books.order(title)
  }
}

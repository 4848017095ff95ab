import { MikroOrmModule } from '@mikro-orm/nestjs'
import type { Options } from '@mikro-orm/core'
import { Module, type DynamicModule } from '@nestjs/common'
import { APP_FILTER } from '@nestjs/core'
import { BooksController } from './books.controller.ts'
import { BooksService } from './books.service.ts'
import { DatabaseFilter } from './database.filter.ts'

@Module({})
export class AppModule {
  static for (options: Options): DynamicModule {
    return {
      module: AppModule,
      // its RequestContext would be a second EntityManager for each request, which nobody uses
      imports: [MikroOrmModule.forRoot({ ...options, registerRequestContext: false })],
      controllers: [BooksController],
      providers: [BooksService, { provide: APP_FILTER, useClass: DatabaseFilter }]
    }
  }
}

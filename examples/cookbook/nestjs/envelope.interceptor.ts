import { EntityManager } from '@mikro-orm/core'
import { Injectable, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common'
import { mergeMap, type Observable } from 'rxjs'

/** It replaces the entity before the plugin flushes. It has to flush by itself, or the id would be missing. */
@Injectable()
export class EnvelopeInterceptor implements NestInterceptor {
  constructor (private readonly em: EntityManager) {}

  intercept (_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(mergeMap(async book => {
      await this.em.flush()
      return { id: book.id, location: `/books/${book.id}` }
    }))
  }
}

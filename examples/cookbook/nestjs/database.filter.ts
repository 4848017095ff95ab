import { NotFoundError, UniqueConstraintViolationException } from '@mikro-orm/core'
import { Catch, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common'
import type { FastifyReply } from 'fastify'

/** Nest's own filter would answer both with 500. It gets what the flush after the handler throws, too, which is rolled back already. */
@Catch(NotFoundError, UniqueConstraintViolationException)
export class DatabaseFilter implements ExceptionFilter {
  catch (error: NotFoundError | UniqueConstraintViolationException, host: ArgumentsHost): void {
    const reply = host.switchToHttp().getResponse<FastifyReply>()
    if (error instanceof NotFoundError) reply.code(404).send({ message: 'Not Found' })
    else reply.code(409).send({ message: 'There is one already' })
  }
}

import type { FastifyInstance, FastifyReply, FastifyRequest, HookHandlerDoneFunction } from 'fastify'
import { context, type ContextView } from '../../../index.ts'
import type { Records } from './records.ts'

/** Says where the context of a request can be seen. */
export const HEADER = 'x-orm-context'

/** Notes when requests come, when their first byte leaves, and when they are over. */
export function watchRequests (fastify: FastifyInstance, records: Records, path: string): void {
  fastify.addHook('onRequest', function inspectRequest (request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction): void {
    if (request.routeOptions.config?.orm !== false) {
      const view = context() // of the hook before
      reply.header(HEADER, `${path}/contexts/${view.id}`)
      watchReply(records, view, reply)
    }
    done()
  })
}

function watchReply (records: Records, view: ContextView, { raw }: FastifyReply): void {
  const record = records.of(view)
  const { writeHead } = raw
  raw.writeHead = function writeHeadNoted (this: typeof raw, status: number, ...rest: any[]): typeof raw {
    raw.writeHead = writeHead
    record.noteFirstByte(status)
    return (writeHead as any).call(this, status, ...rest)
  } as typeof writeHead
  raw.once('close', () => {
    record.noteClosed()
    if (record.isTouched) records.change(record)
    else records.drop(record)
  })
}

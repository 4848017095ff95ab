import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import inspector, { type DescribedContext, type DescribedInFull, type DescribedPool, type InspectorOptions } from '../../../inspector.ts'
import type { Orm } from '../../support/databases.ts'
import { startServer, type Server } from '../../support/server.ts'

export interface InspectedServer extends Server {
  contexts (): Promise<DescribedContext[]>
  /** What the header of a reply leads to. */
  contextOf (response: Response | Promise<Response>): Promise<DescribedInFull>
  pools (): Promise<DescribedPool[]>
}

/** A real server with the inspector on. */
export async function startInspected (t: Test, orm: Orm, routes: (app: FastifyInstance) => void, options: InspectorOptions = {}): Promise<InspectedServer> {
  const server = await startServer(t, { orm }, app => {
    app.register(inspector, options)
    routes(app)
  })
  const json = async (path: string): Promise<any> => await (await server.get(path)).json()
  return {
    ...server,
    contexts: () => json('/_orm/contexts'),
    pools: () => json('/_orm/pools'),
    async contextOf (response) {
      const { headers, bodyUsed, body } = await response
      if (!bodyUsed) await body?.cancel()
      return await json(headers.get('x-orm-context')!)
    }
  }
}

import type { FastifyInstance, FastifyRequest } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import { UNAUTHORIZED } from './errors.ts'
import { actAs } from './session-context.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Replies also to requests without a tenant; they are shown no rows. */
    public?: boolean
  }
}

export interface TenantsOptions {
  /** The tenant of each token. A real app has them from its identity provider, and verifies them. */
  tokens: ReadonlyMap<string, string>
}

/**
 * Register it after `fastify-context-orm`, whose hook opens `request.em`. The hook comes before everything else that
 * could ask the database for something, and is the only place that knows about tenants: no route has to filter.
 */
export const tenants = fastifyPlugin(async function tenants (app: FastifyInstance, { tokens }: TenantsOptions) {
  app.addHook('onRequest', async request => {
    const tenant = tokens.get(tokenOf(request))
    if (tenant === undefined && request.routeOptions.config.public !== true) throw new UNAUTHORIZED()
    actAs(request.em, tenant)
  })
})

function tokenOf (request: FastifyRequest): string {
  return /^Bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1] ?? ''
}

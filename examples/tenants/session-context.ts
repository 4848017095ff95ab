import type { EntityManager, MikroORM } from '@mikro-orm/core'
import { em, runInContext } from 'fastify-context-orm'
import { TENANT_VARIABLE } from './entities.ts'
import { TENANT_ROLE } from './tenant-role.ts'

/**
 * Of everything that this EntityManager sends from now on. Nobody (`undefined`) takes on the role all the same: it is
 * what the policy applies to, and without a tenant the policy lets through no row.
 */
export function actAs (em: EntityManager, tenant: string | undefined): void {
  em.setSessionContext({ role: TENANT_ROLE, variables: { [TENANT_VARIABLE]: tenant ?? '' } })
}

/** Work beside the requests, such as jobs. A context of its own inside a request does not inherit the tenant either. */
export async function runAs<T> (orm: MikroORM, tenant: string, fn: () => Promise<T>): Promise<T> {
  return await runInContext({ orm, name: `work for ${tenant}` }, async () => {
    actAs(em(), tenant)
    return await fn()
  })
}

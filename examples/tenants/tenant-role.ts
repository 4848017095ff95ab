import type { MikroORM } from '@mikro-orm/core'
import type { SqlEntityManager } from '@mikro-orm/sql'

/** A role is known to all databases of a server. */
export const TENANT_ROLE = 'notes_tenant'

const STATEMENTS = [
  `do $$ begin
    create role ${TENANT_ROLE} nologin nosuperuser nobypassrls;
  exception when duplicate_object or unique_violation then null; -- there is one, or another process has been quicker
  end $$`,
  `do $$ begin
    if not pg_has_role('${TENANT_ROLE}', 'member') then grant ${TENANT_ROLE} to current_user; end if;
  end $$`,
  `grant select, insert, update, delete on note to ${TENANT_ROLE}`,
  `grant usage on sequence note_id_seq to ${TENANT_ROLE}`
]

/**
 * No policy applies to superusers, nor to who has `bypassrls`, whatever is forced. So every request takes on this role,
 * which is neither, and which may do no more than its routes have to.
 */
export async function createTenantRole (orm: MikroORM): Promise<void> {
  const em = orm.em.fork() as SqlEntityManager
  for (const statement of STATEMENTS) await em.execute(statement)
}

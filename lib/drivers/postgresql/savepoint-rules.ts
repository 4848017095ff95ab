import { nothing, type Execute, type SavepointRules } from '../savepoint-rules.ts'

export function rulesOfPostgres (execute: Execute): SavepointRules {
  return {
    async checkDeferred () {
      await execute('set constraints all immediate')
    },

    async defer () {
      await execute(DEFER)
    },

    async makeReadOnly () {
      await execute('set transaction read only')
      return nothing // PostgreSQL 18 ends it with the savepoint
    },

    async noteSettings (names) {
      const values = await execute(`select ${names.map((_, i) => `current_setting(?, true) as v${i}`).join(', ')}`, names)
      return async () => {
        for (const [i, name] of names.entries()) await execute('select set_config(?, ?, true)', [name, values[0][`v${i}`] ?? ''])
      }
    }
  }
}

/** `all` would also defer those that are checked at once unless somebody defers them. */
const DEFER = `do $$
declare immediate_ones text;
begin
  set constraints all deferred;
  select string_agg(format('%I.%I', nspname, conname), ', ') into immediate_ones
    from pg_constraint c join pg_namespace on pg_namespace.oid = connamespace
    where condeferrable and not condeferred and has_schema_privilege(connamespace, 'usage')
      and not exists (select from pg_constraint d where d.connamespace = c.connamespace and d.conname = c.conname and d.condeferred);
  if immediate_ones is not null then
    execute 'set constraints ' || immediate_ones || ' immediate';
  end if;
end $$`

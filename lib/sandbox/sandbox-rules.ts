import type { AbstractSqlConnection } from '@mikro-orm/sql'
import type { ControlledTransaction } from '../drivers/pinned-transaction.ts'
import { isPostgres, isSqlite } from '../drivers/sql-package.ts'

/** What a savepoint that stands for a transaction has to do itself, since it is none. Called in the savepoint's turn. */
export interface TransactionRules {
  /** Checks the constraints that wait for the commit; throws what a commit would. */
  checkDeferred (): Promise<void>
  /** Lets constraints wait again that did before. */
  defer (): Promise<void>
  /** Refuses writes from now on; resolves with what allows them again. */
  makeReadOnly (): Promise<() => Promise<void>>
  /** Notes the values of settings; resolves with what sets them again. */
  noteSettings (names: string[]): Promise<() => Promise<void>>
}

export async function rulesOf (connection: AbstractSqlConnection, trx: ControlledTransaction): Promise<TransactionRules> {
  const execute = (sql: string, parameters: unknown[] = []): Promise<any[]> => connection.execute(sql, parameters, 'all', trx)
  if (isPostgres(connection)) return rulesOfPostgres(execute)
  if (isSqlite(connection)) return await rulesOfSqlite(execute)
  return NO_RULES
}

type Execute = (sql: string, parameters?: unknown[]) => Promise<any[]>

const nothing = async (): Promise<void> => {}

/** Of databases whose constraints never wait. */
const NO_RULES: TransactionRules = {
  checkDeferred: nothing,
  defer: nothing,
  makeReadOnly: async () => nothing,
  noteSettings: async () => nothing
}

function rulesOfPostgres (execute: Execute): TransactionRules {
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

async function rulesOfSqlite (execute: Execute): Promise<TransactionRules> {
  const findViolations = async (): Promise<string[]> => (await execute('pragma foreign_key_check')).map(row => JSON.stringify(row))
  const known = await findViolations() // a commit does not mind what was there before
  return {
    ...NO_RULES,

    async checkDeferred () {
      const [{ foreign_keys: isChecked }] = await execute('pragma foreign_keys')
      if (isChecked !== 1 || (await findViolations()).every(violation => known.includes(violation))) return
      // as better-sqlite3 13.0 says it when the commit of a transaction fails
      throw Object.assign(new Error('FOREIGN KEY constraint failed'), { code: 'SQLITE_CONSTRAINT_FOREIGNKEY' })
    },

    async makeReadOnly () {
      await execute('pragma query_only = on')
      return async () => { await execute('pragma query_only = off') }
    }
  }
}

import { em } from '../../index.ts'
import type { Kind } from './engines/engine.ts'

const RAISE: Partial<Record<Kind, string>> = {
  postgresql: "do $$ begin raise exception 'a conflict' using errcode = '40001'; end $$",
  pglite: "do $$ begin raise exception 'a conflict' using errcode = '40001'; end $$",
  mariadb: "signal sqlstate '40001' set mysql_errno = 1213, message_text = 'a conflict'"
}

/** Has the database fail in the current context as it does where another transaction was in the way. SQLite has no way to say so. */
export async function conflict (kind: Kind): Promise<never> {
  const sql = RAISE[kind]
  if (sql !== undefined) await em().getConnection().execute(sql, [], 'run', em().getTransactionContext())
  throw Object.assign(new Error('database is locked'), { code: 'SQLITE_BUSY' })
}

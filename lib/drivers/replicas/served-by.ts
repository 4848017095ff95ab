import type { AbstractSqlConnection } from '@mikro-orm/sql'
import { AsyncLocalStorage } from 'node:async_hooks'

/** Which server has run a statement, for the log: MikroORM sends all that a context asks for to the primary's connection. */
export interface Served {
  /** The replica that runs it, if one does. */
  by?: AbstractSqlConnection | undefined
}

/** What is sent at the moment. */
export const served: AsyncLocalStorage<Served> = new AsyncLocalStorage()

/** That server runs the statement; `undefined` if that is the primary. */
export function noteServer (replica: AbstractSqlConnection | undefined): void {
  const statement = served.getStore()
  if (statement !== undefined) statement.by = replica
}

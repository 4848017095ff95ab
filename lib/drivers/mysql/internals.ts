import type { AbstractSqlConnection } from '@mikro-orm/sql'

/** What is used of mysql2 3.24 itself, where that is MikroORM's driver. */
export interface MysqlSession {
  readonly threadId: number
  query (sql: string, done: (error: Error | null, header?: MysqlHeader) => void): void
}

/** The answer to what gives no rows. */
interface MysqlHeader {
  /** What has changed of that which the server was told to track. */
  readonly stateChanges?: { readonly systemVariables: Record<string, string> }
}

interface MysqlPool {
  readonly _allConnections: { readonly length: number, get (index: number): MysqlSession }
}

/** The pool's own connection of that number: Kysely 0.29.6 passes on less of an answer. Rejects if the driver is another one. */
export async function findSession (connection: AbstractSqlConnection, threadId: number): Promise<MysqlSession | undefined> {
  const { _allConnections: all } = await (connection as AbstractSqlConnection & { getNativeClient (): Promise<unknown> }).getNativeClient() as MysqlPool
  return Array.from({ length: all.length }, (_, i) => all.get(i)).find(session => session.threadId === threadId)
}

import type { MikroORM } from '@mikro-orm/core'
import type { AbstractSqlConnection } from '@mikro-orm/sql'
import { served, type Served } from '../drivers/replicas/served-by.ts'

type Log = [sql: string, context?: object]

interface Internals {
  logQuery (...log: Log): void
}

/** A stream is logged before it has begun, when nobody knows yet where it will run. */
interface Streamed extends Served {
  held: Log | undefined
}

/**
 * Has the log say which server a statement ran on: MikroORM 7.2.1 names the connection that it has sent it to, which in a context is
 * always the primary's. Returns what undoes it.
 */
export function logServers (orm: MikroORM): () => void {
  if ((orm.config.get('replicas')?.length ?? 0) === 0) return () => {}
  const connection: AbstractSqlConnection = orm.driver.getConnection('write') as AbstractSqlConnection
  const inherited = Object.getPrototypeOf(connection) as AbstractSqlConnection & Internals

  const log = (statement: Served | undefined, entry: Log): void => inherited.logQuery.apply(statement?.by ?? connection, entry)
  const own = {
    execute: (...args: Parameters<AbstractSqlConnection['execute']>): Promise<unknown> => served.run({}, () => inherited.execute.apply(connection, args)),

    async * stream (...args: Parameters<AbstractSqlConnection['stream']>): AsyncGenerator<unknown, void> {
      const statement: Streamed = { held: undefined }
      const tell = (): void => {
        if (statement.held !== undefined) log(statement, statement.held)
        statement.held = undefined
      }
      const rows = inherited.stream.apply(connection, args)
      try {
        for (;;) {
          const next = await served.run<Promise<IteratorResult<unknown>>>(statement, () => rows.next()).finally(tell)
          if (next.done === true) return
          yield next.value
        }
      } finally {
        await rows.return?.(undefined)
      }
    },

    logQuery (...entry: Log): void {
      const statement = served.getStore()
      if (statement !== undefined && 'held' in statement && statement.by === undefined && statement.held === undefined) statement.held = entry
      else log(statement, entry)
    }
  }
  Object.assign(connection, own)
  return () => {
    for (const method of Object.keys(own)) Reflect.deleteProperty(connection, method)
  }
}

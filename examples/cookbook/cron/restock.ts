import { Cron } from 'croner'
import type { FastifyInstance } from 'fastify'
import type { SqlEntityManager } from '@mikro-orm/sql'
import { em, runInContext } from 'fastify-context-orm'
import { Book } from '../books.ts'

/** Any number that nothing else in the database locks. */
const RESTOCKING = 20260102

/** A plugin: its job ends with the app. */
export async function restockNightly (app: FastifyInstance, { pattern = '0 3 * * *' }: { pattern?: string }): Promise<void> {
  const job = new Cron(pattern, {
    protect: true,                                        // not twice at the same time
    catch: error => app.log.error(error)                  // it is rolled back already
  }, async () => { await runInContext({ orm: app.orm, name: 'restock' }, restock) })
  // app.close() waits for the job if it is running; one that began later would be refused with FST_ORM_CLOSING
  app.addHook('preClose', async () => job.stop())
}

export async function restock (): Promise<number> {
  if (!await isFirst()) return 0
  const books = await em().find(Book, { stock: 0 })
  for (const book of books) book.stock = 3
  return books.length
}

/** One instance of the app does it. The lock ends with the transaction. */
async function isFirst (): Promise<boolean> {
  const sql = 'select pg_try_advisory_xact_lock(?) as locked'
  const rows = await (em() as SqlEntityManager).execute<Array<{ locked: boolean }>>(sql, [RESTOCKING])
  return rows[0]!.locked
}

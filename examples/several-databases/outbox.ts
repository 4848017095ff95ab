import type { InferEntity, MikroORM } from '@mikro-orm/core'
import type { FastifyInstance } from 'fastify'
import { afterCommit, commit, em, runInContext } from 'fastify-context-orm'
import { OutboxEntry } from './main-entities.ts'
import { writeSale } from './sales.ts'

const MINUTE = 60_000

/** When both databases have committed, nothing is left to copy. When only one has, the hook does not run. */
export function emptyOutboxAfterCommit ({ id }: Pick<InferEntity<typeof OutboxEntry>, 'id'>): void {
  // the request has ended: what comes now needs a context of its own
  afterCommit(() => runInContext(() => em().nativeDelete(OutboxEntry, { id })))
}

/**
 * Copies to reporting what is in the outbox, and empties it. Whatever ends it in the middle, nothing is lost, since the
 * entry goes last, and nothing is there twice, since a sale can be written again.
 */
export async function copyOutbox (orm: MikroORM[]): Promise<void> {
  await runInContext({ orm, name: 'the outbox' }, async () => {
    const entries = await em().find(OutboxEntry, {}, { populate: ['order.product'], orderBy: { id: 'asc' }, limit: 1000 })
    for (const { order } of entries) await writeSale(order)
    await commit('reporting')
    await em().nativeDelete(OutboxEntry, { id: { $in: entries.map(entry => entry.id) } })
  })
}

/** When the app starts, and every minute. */
export async function copyOutboxRegularly (app: FastifyInstance): Promise<void> {
  let copying: Promise<void> = Promise.resolve()
  const copy = (): void => {
    copying = copyOutbox(Object.values(app.orms)).catch(error => { app.log.error(error, 'The outbox is not copied') })
  }
  const timer = setInterval(copy, MINUTE)
  app.addHook('onReady', async () => {
    copy()
    await copying
  })
  app.addHook('preClose', async () => {
    clearInterval(timer)
    await copying
  })
}

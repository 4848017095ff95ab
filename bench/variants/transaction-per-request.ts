import { RequestContext } from '@mikro-orm/core'
import type { Variant } from './variant.ts'

/** All or nothing for every request, at the price of a connection for all of its time. */
export const transactionPerRequest: Variant = async (app, orm) => {
  app.addHook('onRequest', (_request, _reply, done) => RequestContext.create(orm.em, done))
  app.addHook('onRequest', async () => { await orm.em.begin() })
  app.addHook('onError', async () => { await orm.em.rollback() })
  app.addHook('onSend', async (_request, reply) => {
    if (!orm.em.isInTransaction()) return // the error has been rolled back
    if (reply.statusCode >= 400) await orm.em.rollback()
    else await orm.em.commit()
  })
  return () => orm.em
}

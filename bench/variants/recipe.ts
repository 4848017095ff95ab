import { RequestContext } from '@mikro-orm/core'
import type { Variant } from './variant.ts'

/** As MikroORM's documentation has it. Errors are flushed as well: it has no rollback. */
export const recipe: Variant = async (app, orm) => {
  app.addHook('onRequest', (_request, _reply, done) => RequestContext.create(orm.em, done))
  app.addHook('onSend', async () => { await orm.em.flush() })
  return () => orm.em
}

import { TransactionContext, TransactionPropagation, type EntityManager } from '@mikro-orm/core'
import { withLine } from '../transaction/callers-line.ts'
import { deferredKyselyIn } from '../transaction/deferred-kysely.ts'
import type { EntityManagerScope } from './entity-manager-scope.ts'
import { Flushes } from './flushes.ts'
import { execute, inherited } from './inherited.ts'
import { keepLateChanges } from './late-changes.ts'
import { needsFlush } from './pending-changes.ts'

/** `em.transactional()` of a context, and the EntityManagers that it makes. */

export type Transactional = Parameters<EntityManager['transactional']>

/** Marks an EntityManager that knows the scope it is in. */
export const SCOPE: unique symbol = Symbol('fastify-context-orm.scope')
/** The scope that an EntityManager made by `em.transactional()` is in. */
const PARENT = Symbol('fastify-context-orm.parent')
const FLUSHES = Symbol('fastify-context-orm.flushes')

interface InnerEntityManager extends EntityManager {
  [PARENT]: EntityManagerScope
  [FLUSHES]: Flushes
}

/** Propagations that leave the context's transaction alone. */
const ON_ITS_OWN: string[] = [TransactionPropagation.REQUIRES_NEW, TransactionPropagation.NOT_SUPPORTED]

/** Whether it is independent of the context's transaction. */
export function isIndependent (propagation: TransactionPropagation | `${TransactionPropagation}`): boolean {
  return ON_ITS_OWN.includes(propagation)
}

/** Those that begin a transaction where there is none. */
const BEGINS: string[] = [TransactionPropagation.REQUIRES_NEW, TransactionPropagation.REQUIRED, TransactionPropagation.NESTED]

/** Those of an EntityManager inside `em.transactional()`, which is otherwise MikroORM's. */
const innerMethods = {
  execute,

  flush (this: InnerEntityManager): Promise<void> {
    const flush = (): Promise<void> => inherited(this).flush.call(this)
    const view = deferredKyselyIn(this)
    return this[FLUSHES].run(view === undefined ? flush : () => view.runFlush(flush))
  },

  async transactional (this: InnerEntityManager, ...[callback, options = {}]: Transactional): Promise<unknown> {
    return await withLine(() => runTransactional(this, this[PARENT], callback, options))
  }
}

export async function runTransactional (em: EntityManager, scope: EntityManagerScope, ...[callback, options = {}]: Transactional): Promise<unknown> {
  const { propagation = TransactionPropagation.NESTED } = options
  if (isIndependent(propagation)) return await runIndependently(em, scope, callback, options)
  const run = (): Promise<unknown> => (
    inherited(em).transactional.call(em, inner => scope.runInside(inner, () => callback(inside(inner, scope))), options)
  )
  if (propagation !== TransactionPropagation.NESTED) return await run()
  // the inner EntityManager takes pending changes over; rolled back with the savepoint, they would be lost
  await flushPending(em, scope)
  const result = await scope.independent.runNested(run)
  scope.noteFlush()
  return result
}

export async function runIndependently (em: EntityManager, scope: EntityManagerScope, ...[callback, options]: Transactional): Promise<unknown> {
  // the same here: they would be committed beside the context, which may fail
  await flushPending(em, scope)
  const begins = BEGINS.includes(options?.propagation ?? TransactionPropagation.NESTED)
  return await scope.independent.run(em, begins, withHooks => (
    inherited(em).transactional.call(em, inner => withHooks(async () => {
      // as MikroORM 7.2.5 does it for `NOT_SUPPORTED` too, where 7.2.1 leaves `em()` to be the outer one
      const result = await TransactionContext.create(inner, () => callback(inside(inner, scope)))
      await flushBeforeHooks(inner)
      scope.noteFlush()
      return result
    }), options)
  ))
}

/** Flushes the context's EntityManager, or an inner one; but not for a hook of a flush, which MikroORM lets flush nothing. */
async function flushPending (em: EntityManager, scope: EntityManagerScope): Promise<void> {
  if ((em === scope.em ? scope.flushes : (em as InnerEntityManager)[FLUSHES]).isCallers) return
  if (em === scope.em) await scope.flush()
  else if (needsFlush(em)) await em.flush()
}

/** MikroORM flushes once more when the hooks have run, and tells subscribers of it, be there anything or not. */
async function flushBeforeHooks (inner: EntityManager): Promise<void> {
  if (!needsFlush(inner)) return
  const { flush } = inner
  await inner.flush()
  inner.flush = async () => { if (needsFlush(inner)) await flush.call(inner) }
}

/** Makes an inner EntityManager one that knows what it is inside of. */
function inside (em: EntityManager, scope: EntityManagerScope): EntityManager {
  if (SCOPE in em || PARENT in em) return em
  keepLateChanges(em, scope)
  return Object.assign(em, innerMethods, { [PARENT]: scope, [FLUSHES]: new Flushes() }) as unknown as EntityManager
}

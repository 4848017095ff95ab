import type { CommitHook } from '../context/commit-hooks.ts'
import { currentContext, type Context } from '../context/context.ts'
import { FST_ORM_NO_CONTEXT } from '../errors.ts'
import type { ContextEntityManager, DatabaseName, NamedEntityManager } from '../options/types.ts'

/** What code asks of the context that it runs in, wherever it is. */

/**
 * The EntityManager of the current context, for the database of that name (its MikroORM's `contextName`), by default
 * the first that was registered. Inside `em().transactional()` it is the inner one.
 *
 * Throws `FST_ORM_NO_CONTEXT` outside a context and `FST_ORM_UNKNOWN_DATABASE` for a name that was not registered.
 */
export function em (): ContextEntityManager
export function em<Name extends DatabaseName> (name: Name): NamedEntityManager<Name>
export function em (name?: string): unknown {
  return contextFor('em()').innermostEntityManager(name)
}

/**
 * Flushes and commits now what the current context has done so far, on all its databases or on the one of that name; the
 * next write begins a new transaction. If it fails, everything is rolled back and the EntityManager is empty.
 *
 * Throws `FST_ORM_TRANSACTION_OPEN` while an `em.transactional()` or `atomic()` is running, `FST_ORM_CONTEXT_ENDED`,
 * `FST_ORM_NO_CONTEXT`, and what the flush and the database throw.
 */
export async function commit (name?: DatabaseName): Promise<void> {
  const context = contextFor('commit()')
  await context.commitNow('commit()', name === undefined ? undefined : context.scope(name))
}

/**
 * Rolls back what the current context has done since it began, or since its last `commit()`, on all its databases or on
 * the one of that name, and drops the changes that are not flushed. The EntityManager is empty then, and can be used.
 *
 * Throws as `commit()` does. In a context that has been rolled back it does nothing.
 */
export async function rollback (name?: DatabaseName): Promise<void> {
  const context = contextFor('rollback()')
  await context.rollbackNow('rollback()', name === undefined ? undefined : context.scope(name))
}

/**
 * Calls `hook` before the current context commits, inside its transaction: what it writes is committed with the rest,
 * and if it throws, everything is rolled back. Hooks run in the order in which they were registered, each awaited, once.
 * One that was registered inside an `em.transactional()` that rolls back is dropped.
 */
export function beforeCommit (hook: CommitHook): void {
  contextFor('beforeCommit()').addHook('beforeCommit', hook)
}

/**
 * Calls `hook` after the current context has committed (also if it turns out that it had nothing to write), and before
 * the reply is sent. The context has ended by then, unless it was committed by hand: it reads, and what is to be written
 * gets a context of its own, `runInContext(() => …)`. If it throws, that is logged, and changes nothing. Otherwise as
 * `beforeCommit()`.
 */
export function afterCommit (hook: CommitHook): void {
  contextFor('afterCommit()').addHook('afterCommit', hook)
}

/**
 * Calls `hook` after the current context, or the `em.transactional()` that it is registered in, has rolled back. It is
 * not called if a commit fails in a way that may have left something committed. Otherwise as `afterCommit()`.
 */
export function afterRollback (hook: CommitHook): void {
  contextFor('afterRollback()').addHook('afterRollback', hook)
}

/**
 * The context of the caller; throws `FST_ORM_NO_CONTEXT` if there is none.
 * @internal
 */
export function contextFor (what: string): Context {
  const context = currentContext()
  if (context === undefined) {
    throw new FST_ORM_NO_CONTEXT(what, 'this is not below a request that has come to the onRequest hook of fastify-context-orm',
      'Call it later in a request, or inside runInContext(). If it is in a route, that lies outside of the scope in which fastify-context-orm is registered (encapsulation): register it at the root, or wrap the plugin that registers it in fastify-plugin')
  }
  return context
}

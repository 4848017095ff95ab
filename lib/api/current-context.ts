import type { CommitHook } from '../context/commit-hooks.ts'
import type { ContextView } from '../context/context-view.ts'
import { currentContext, type Context } from '../context/context.ts'
import { runningContexts } from '../context/running-contexts.ts'
import { FST_ORM_NO_CONTEXT } from '../errors.ts'
import { checkHookOptions } from '../options/checks.ts'
import type { HookOptions } from '../options/options.ts'
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
 * Flushes and commits what the current context has done so far: on all of its databases, or on the one of that name. The next
 * write begins a new transaction. If it fails, everything is rolled back, and the EntityManager is empty.
 *
 * Resolves with a token for what the context has committed, if the plugin has the option `replicas`: whoever has it reads
 * no less, such as the job of a queue, by `runInContext({ after: token }, …)`.
 *
 * Throws `FST_ORM_TRANSACTION_OPEN` while an `em.transactional()` or `atomic()` is running, `FST_ORM_CONTEXT_ENDED`,
 * `FST_ORM_NO_CONTEXT`, and what the flush and the database throw.
 */
export async function commit (name?: DatabaseName): Promise<string | undefined> {
  const context = contextFor('commit()')
  await context.commitNow('commit()', name === undefined ? undefined : context.scope(name))
  return context.token
}

/**
 * Rolls back what the current context has done since it began, or since its last `commit()`: on all of its databases, or on the
 * one of that name. Changes that are not flushed are dropped. After that, the EntityManager is empty and can be used.
 *
 * Throws what `commit()` throws. In a context that was rolled back, it does nothing.
 */
export async function rollback (name?: DatabaseName): Promise<void> {
  const context = contextFor('rollback()')
  await context.rollbackNow('rollback()', name === undefined ? undefined : context.scope(name))
}

/**
 * Calls `hook` before the current context commits, inside its transaction. What it writes is committed with the rest, and if it
 * throws, everything is rolled back. Hooks run once, in the order in which they were registered, and each is awaited. If an
 * `em.transactional()` rolls back, the hooks that were registered inside it are dropped.
 */
export function beforeCommit (hook: CommitHook): void {
  contextFor('beforeCommit()').addHook('beforeCommit', hook)
}

/**
 * Calls `hook` after the current context has committed (also if it had nothing to write), and before the reply is sent. Unless it
 * was committed by hand, the context has ended then: read with `em()`, and write in a `runInContext()`. If the hook throws, the
 * error is logged, and the reply goes out. Order and number of calls are as for `beforeCommit()`.
 *
 * With `{ wait: false }`, nobody waits for the hook: the reply is sent at once, and `app.close()` waits for it instead.
 */
export function afterCommit (hook: CommitHook, options: HookOptions = {}): void {
  const context = contextFor('afterCommit()')
  checkHookOptions('afterCommit()', options)
  context.addHook('afterCommit', hook, options)
}

/**
 * Calls `hook` after the current context has rolled back, or the `em.transactional()` in which it was registered. It is not called
 * if a commit fails and something may be committed all the same. Otherwise as for `afterCommit()`.
 */
export function afterRollback (hook: CommitHook): void {
  contextFor('afterRollback()').addHook('afterRollback', hook)
}

/**
 * The current context, for those who look at it: what it is, what it holds and waits for, and what it has done so far. It is always as it
 * is at the moment, and the same object as events have for the same context.
 *
 * Throws `FST_ORM_NO_CONTEXT` outside a context.
 */
export function context (): ContextView {
  const current = contextFor('context()')
  current.assertWanted('context()')
  return current.view
}

/**
 * All contexts of the process that have used a database and are not settled yet, for those who look at them: who holds a connection, and
 * who waits for one.
 */
export function contexts (): ContextView[] {
  return runningContexts(() => true).flatMap(({ view }) => view ?? [])
}

/**
 * The context of the caller; throws `FST_ORM_NO_CONTEXT` if there is none.
 * @internal
 */
export function contextFor (what: string): Context {
  const context = currentContext()
  if (context === undefined) {
    throw new FST_ORM_NO_CONTEXT(what, 'no request that has reached the onRequest hook of fastify-context-orm is being handled here',
      'Call it later in a request, or inside runInContext(). If it is in a route, the plugin is registered in another scope (encapsulation): register it at the root, or wrap the plugin that registers it in fastify-plugin')
  }
  return context
}

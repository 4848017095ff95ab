import type { Context } from '../context/context.ts'
import { contextFor } from './current-context.ts'
import { FST_ORM_BAD_OPTION, FST_ORM_TRANSACTION_OPEN } from '../errors.ts'
import { checkAtomicOptions } from '../options/checks.ts'
import type { AtomicOptions } from '../options/options.ts'
import { show } from '../util/show.ts'
import { hooksOfIndependentTransaction } from '../context/independent-hooks.ts'
import { runningAtomic, type DatabaseScopes } from '../context/database-scopes.ts'

/**
 * Runs `fn`, and commits what it did at once, or rolls it back and rethrows: on the current context, before that ends.
 * `existing` says what becomes of a transaction or pending changes that the context already has. Resolves with what `fn`
 * returned. Several at once, on one context, run one after the other.
 *
 * Inside another `atomic()` or an `em.transactional()`, it can only join them: it is a savepoint of theirs then.
 *
 * Throws what `fn`, the flush and the commit throw, and `FST_ORM_TRANSACTION_OPEN`, `FST_ORM_CONTEXT_ENDED`,
 * `FST_ORM_NO_CONTEXT` and `FST_ORM_BAD_OPTION`.
 */
export async function atomic<T> (fn: () => T | Promise<T>, options: AtomicOptions = {}): Promise<T> {
  const context = contextFor('atomic()')
  if (typeof fn !== 'function') throw new FST_ORM_BAD_OPTION('atomic()', 'fn', 'a function', show(fn))
  const { existing } = checkAtomicOptions(options)
  const scopes = context.use('atomic()')
  context.assertOpen('atomic()')
  scopes.assertNotSettling('atomic()')

  if (runningAtomic.has(context) || scopes.savepoints.length > 0 || hooksOfIndependentTransaction(context) !== undefined) {
    if (existing === 'join') return await runInSavepoints(context, fn)
    throw new FST_ORM_TRANSACTION_OPEN(context.name, 'atomic() would commit the atomic() or em.transactional() around it', "Use em.transactional(), or atomic() with existing: 'join'")
  }
  return await scopes.atomics.run(() => runningAtomic.run(context, () => runAndCommit(context, scopes, fn, existing)))
}

async function runAndCommit<T> (context: Context, scopes: DatabaseScopes, fn: () => T | Promise<T>, existing: AtomicOptions['existing']): Promise<T> {
  scopes.assertNoSavepoint('atomic()')
  if (existing === 'commit') await scopes.commitNow()
  if (existing === 'rollback') await scopes.rollbackNow()
  if (existing === 'reject' && (scopes.hasTransaction || scopes.hasPendingChanges)) {
    throw new FST_ORM_TRANSACTION_OPEN(context.name, "atomic() with existing: 'reject' has found a transaction or changes that are not flushed", 'Commit or roll back before, or choose another value for existing')
  }
  try {
    const result = await fn()
    await scopes.commitNow()
    return result
  } catch (error) {
    if (context.ending === undefined) await scopes.rollBackAtomic()
    throw error
  }
}

/** On every database, since it is not known which of them `fn` will use. */
async function runInSavepoints<T> (context: Context, fn: () => T | Promise<T>): Promise<T> {
  const run = context.databases.names.reduceRight<() => T | Promise<T>>(
    (inner, name) => async () => await context.innermostEntityManager(name).transactional(async () => await inner()), fn)
  return await run()
}

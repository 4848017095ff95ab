import type { Context } from '../context/context.ts'
import { ContextOfRun } from './context-of-run.ts'
import { contextFor } from './current-context.ts'
import { runAttempts } from './run-attempts.ts'
import type { Work } from './work.ts'
import { FST_ORM_BAD_OPTION, FST_ORM_TRANSACTION_OPEN } from '../errors.ts'
import { checkAtomicOptions } from '../options/checks.ts'
import type { AtomicOptions, TransactionOptions } from '../options/options.ts'
import type { RetrySettings } from '../options/retry.ts'
import { show } from '../util/show.ts'
import { hooksOfIndependentTransaction } from '../context/independent-hooks.ts'
import type { DatabaseScopes } from '../context/database-scopes.ts'
import { assertNoSavepoint, assertNotSettling, runningAtomic } from '../context/settling-rules.ts'

/**
 * Runs `fn` in the current context, and commits at once what it did. If `fn` throws, that is rolled back, and the error is thrown
 * again. `existing` says what happens to a transaction or pending changes that the context already has. Resolves with what
 * `fn` returned. Several at once on one context run one after the other.
 *
 * Inside another `atomic()` or an `em.transactional()`, only `existing: 'join'` is allowed. It makes a savepoint there.
 *
 * Throws what `fn`, the flush and the commit throw, and `FST_ORM_TRANSACTION_OPEN`, `FST_ORM_CONTEXT_ENDED`,
 * `FST_ORM_NO_CONTEXT` and `FST_ORM_BAD_OPTION`.
 */
export async function atomic<T> (fn: Work<T>, options: AtomicOptions = {}): Promise<T> {
  const context = contextFor('atomic()')
  if (typeof fn !== 'function') throw new FST_ORM_BAD_OPTION('atomic()', 'fn', 'a function', show(fn))
  const { existing, retry } = checkAtomicOptions(options)
  const scopes = context.use('atomic()')
  context.assertOpen('atomic()')
  assertNotSettling(scopes, 'atomic()')

  if (runningAtomic.has(context) || scopes.savepoints.length > 0 || hooksOfIndependentTransaction(context) !== undefined) {
    if (existing === 'join') return await runInSavepoints(context, fn)
    throw new FST_ORM_TRANSACTION_OPEN(context.name, 'atomic() would commit the atomic() or em.transactional() around it', "Use em.transactional(), or atomic() with existing: 'join'")
  }
  const isAttempt = retry !== undefined && !context.isWithinAttempt
  return await scopes.atomics.run(() => isAttempt
    ? runInAttempts(context, scopes, fn, existing, retry)
    : runningAtomic.run(context, () => runAndCommit(context, scopes, fn, existing)))
}

async function runAndCommit<T> (context: Context, scopes: DatabaseScopes, fn: Work<T>, existing: AtomicOptions['existing']): Promise<T> {
  await endExisting(context, scopes, existing)
  return await scopes.atomics.runOrRollBack(async () => {
    const result = await fn()
    await scopes.commitNow()
    return result
  }, async () => { if (context.ending === undefined) await scopes.rollbackNow() })
}

/** Each attempt runs and commits in a new context. */
async function runInAttempts<T> (context: Context, scopes: DatabaseScopes, fn: Work<T>, existing: AtomicOptions['existing'], retry: RetrySettings): Promise<T> {
  await endExisting(context, scopes, existing)
  const { signal } = scopes.atomics
  const settings = { ...context.options as TransactionOptions, name: `atomic() of ${context.name}`, signal }
  return await runAttempts(retry, async () => new ContextOfRun(context.databases, settings, context), async () => {
    const attempt = contextFor('atomic()')
    return await attempt.use('atomic()').atomics.run(async () => await runningAtomic.run(attempt, fn))
  }, signal)
}

async function endExisting (context: Context, scopes: DatabaseScopes, existing: AtomicOptions['existing']): Promise<void> {
  assertNoSavepoint(scopes, 'atomic()')
  if (existing === 'commit') await scopes.commitNow()
  if (existing === 'rollback') await scopes.rollbackNow()
  if (existing === 'reject' && (scopes.hasTransaction || scopes.hasPendingChanges)) {
    throw new FST_ORM_TRANSACTION_OPEN(context.name, "atomic() with existing: 'reject' has found a transaction or changes that are not flushed", 'Commit or roll back before, or choose another value for existing')
  }
}

/** On every database, since it is not known which of them `fn` will use. */
async function runInSavepoints<T> (context: Context, fn: Work<T>): Promise<T> {
  const run = context.databases.names.reduceRight<Work<T>>(
    (inner, name) => async () => await context.innermostEntityManager(name).transactional(async () => await inner()), fn)
  return await run()
}

import { AsyncLocalStorage } from 'node:async_hooks'
import { CommitHooks } from './commit-hooks.ts'

/**
 * A transaction beside that of a context, which is MikroORM's own: an `em.transactional()` with `REQUIRES_NEW` or
 * `NOT_SUPPORTED`, or any where the context has `transaction: false`. The hooks that are registered inside it are its
 * own as well.
 */
interface IndependentTransaction {
  owner: object
  hooks: CommitHooks
}

const storage = new AsyncLocalStorage<IndependentTransaction>()

/** The hooks of the transaction that the caller runs in, if it is one beside that of the context. */
export function hooksOfIndependentTransaction (context: object): CommitHooks | undefined {
  const own = storage.getStore()
  return own?.owner === context ? own.hooks : undefined
}

/**
 * Runs `transactional`, which runs a callback inside a transaction, with hooks of its own. Those before the commit are
 * the last part of the callback.
 */
export async function runWithOwnHooks<T> (
  owner: object,
  transactional: (wrap: <R>(callback: () => Promise<R>) => Promise<R>) => Promise<T>,
  onError: (error: unknown) => void
): Promise<T> {
  const hooks = new CommitHooks()
  const run = <R>(callback: () => Promise<R>): Promise<R> => storage.run({ owner, hooks }, async () => {
    const result = await callback()
    await hooks.runBeforeCommit()
    return result
  })
  let result: T
  try {
    result = await transactional(run)
  } catch (error) {
    await hooks.runAfterRollback(onError)
    throw error
  }
  await hooks.runAfterCommit(onError)
  return result
}

/** Runs a transaction that is nested in one beside that of the context: its hooks are dropped if it rolls back. */
export async function runWithInnerHooks<T> (
  owner: object, outer: CommitHooks, transactional: () => Promise<T>, onError: (error: unknown) => void
): Promise<T> {
  const hooks = new CommitHooks()
  let result: T
  try {
    result = await storage.run({ owner, hooks }, transactional)
  } catch (error) {
    await hooks.runAfterRollback(onError)
    throw error
  }
  outer.adopt(hooks)
  return result
}

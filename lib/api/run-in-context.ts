import { currentContext } from '../context/context.ts'
import { Databases } from '../databases/databases.ts'
import { FST_ORM_BAD_OPTION, FST_ORM_CLOSING, FST_ORM_NO_CONTEXT } from '../errors.ts'
import { checkRunOptions } from '../options/checks.ts'
import type { RunOptions } from '../options/options.ts'
import { show } from '../util/show.ts'
import { ContextOfRun } from './context-of-run.ts'
import { runAttempts } from './run-attempts.ts'
import type { Work } from './work.ts'

/**
 * Opens a new context and runs `fn` in it. Flushes and commits when `fn` returns, and rolls back when it throws. Resolves after the
 * commit, with what `fn` returned. Inside another context it uses the same databases, but with its own EntityManagers and
 * connections, and it ends independently of the other context.
 *
 * Throws what `fn`, the flush and the commit throw, the reason of the signal when that is aborted,
 * `FST_ORM_NO_CONTEXT` (without `orm` outside of any context) and `FST_ORM_BAD_OPTION`. With `retry`, also `FST_ORM_NOT_RETRIABLE` and
 * `FST_ORM_FOREIGN_CHANGE`.
 */
export function runInContext<T> (fn: Work<T>): Promise<T>
export function runInContext<T> (options: RunOptions, fn: Work<T>): Promise<T>
export async function runInContext<T> (...args: [Work<T>] | [RunOptions, Work<T>]): Promise<T> {
  const [options, fn] = args.length === 1 ? [{}, args[0]] : args
  if (typeof fn !== 'function') throw new FST_ORM_BAD_OPTION('runInContext()', 'fn', 'a function, as its last argument', show(fn))
  const settings = checkRunOptions(options, fn.name)
  const parent = currentContext()
  const databases = options.orm === undefined ? parent?.databases : Databases.of(options.orm)
  if (databases === undefined) {
    throw new FST_ORM_NO_CONTEXT('runInContext() without orm', 'there is no context here whose databases it could use', 'Pass the MikroORM: runInContext({ orm }, …)')
  }
  // what is running may still need branches of its own to come to its end
  if (databases.isClosing && parent?.ending !== undefined && !parent.isRunning) throw new FST_ORM_CLOSING(settings.name)
  return await runAttempts(settings.retry, async () => {
    if (databases.beforeContext !== undefined) await databases.beforeContext()
    return new ContextOfRun(databases, settings, parent)
  }, fn, settings.signal)
}

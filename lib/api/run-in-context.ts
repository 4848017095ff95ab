import { currentContext } from '../context/context.ts'
import { Databases } from '../databases/databases.ts'
import { FST_ORM_BAD_OPTION, FST_ORM_CLOSING, FST_ORM_NO_CONTEXT } from '../errors.ts'
import { checkRunOptions } from '../options/checks.ts'
import type { RunOptions } from '../options/options.ts'
import { show } from '../util/show.ts'
import { ContextOfRun } from './context-of-run.ts'

type Work<T> = () => T | Promise<T>

/**
 * Opens a context of its own, runs `fn` in it, flushes and commits when it returns, rolls back when it throws, and
 * resolves with what `fn` returned, after the commit. Inside another context it works on the same databases, with
 * EntityManagers and connections of its own: how it ends is none of the other's business.
 *
 * Throws what `fn`, the flush and the commit throw, the reason of the signal when that is aborted, and
 * `FST_ORM_NO_CONTEXT` (no `orm`, and no context around) and `FST_ORM_BAD_OPTION`.
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
  if (databases.beforeContext !== undefined) await databases.beforeContext()
  return await new ContextOfRun(databases, settings, parent).complete(fn)
}

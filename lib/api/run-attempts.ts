import { Attempts } from '../context/attempts.ts'
import { currentContext } from '../context/context.ts'
import type { RetrySettings } from '../options/retry.ts'
import type { ContextOfRun } from './context-of-run.ts'
import type { Work } from './work.ts'

/** Runs `fn` in a context that `open` opens, and as often as `retry` says in another one. */
export async function runAttempts<T> (retry: RetrySettings | undefined, open: () => Promise<ContextOfRun>, fn: Work<T>, signal?: AbortSignal): Promise<T> {
  const around = currentContext()
  const first = await open()
  if (retry === undefined || around?.isWithinAttempt === true) return await first.complete(fn)
  const attempts = new Attempts(retry, first, around?.entityManagersAround, signal)
  return await runEach(attempts, first, open, fn).finally(() => attempts.end())
}

async function runEach<T> (attempts: Attempts, first: ContextOfRun, open: () => Promise<ContextOfRun>, fn: Work<T>): Promise<T> {
  let context = first
  for (;;) {
    try {
      return await context.complete(fn)
    } catch (error) {
      if (!attempts.isWorthAnother(error)) throw error
      await attempts.untilNext(error)
    }
    context = await open()
    attempts.begin(context)
  }
}

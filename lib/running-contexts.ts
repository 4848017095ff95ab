import type { Context } from './context.ts'

/** Contexts that have used a database and have not settled yet: those that a shutdown waits for. */
const running = new Set<Context>()
let changed: PromiseWithResolvers<void> | undefined

export function addRunning (context: Context): void {
  running.add(context)
}

export function deleteRunning (context: Context): void {
  running.delete(context)
  changed?.resolve()
  changed = undefined
}

export function isRunning (context: Context): boolean {
  return running.has(context)
}

export function runningContexts (isMeant: (context: Context) => boolean): Context[] {
  return [...running].filter(isMeant)
}

/** Resolves when none of those that are meant is running any more. */
export async function untilNoneRuns (isMeant: (context: Context) => boolean): Promise<void> {
  while (runningContexts(isMeant).length > 0) {
    changed ??= Promise.withResolvers<void>()
    await changed.promise
  }
}

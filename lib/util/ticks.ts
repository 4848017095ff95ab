/**
 * Resolves when every promise that can go on without waiting for anything has done so: ticks come after them (Node 24).
 * Of `result`, it resolves with what that gives then.
 */
export function untilPromisesHaveRun (result?: () => unknown): Promise<unknown> {
  return new Promise(resolve => {
    // of what runs outside of any promise, ticks come first
    DONE.then(() => process.nextTick(() => resolve(result?.())))
  })
}

const DONE = Promise.resolve()

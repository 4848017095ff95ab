/**
 * Resolves when every promise that can go on without waiting for anything has done so: ticks come after them (Node 24).
 * It resolves with what `result` gives then.
 */
export function untilPromisesHaveRun (result?: () => unknown): Promise<unknown> {
  return new Promise(resolve => {
    // outside of any promise, ticks come first
    DONE.then(() => process.nextTick(() => resolve(result?.())))
  })
}

const DONE = Promise.resolve()

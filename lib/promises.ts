/** Resolves when every promise that can go on without waiting for anything has done so: ticks come after them (Node 24). */
export function untilPromisesHaveRun (): Promise<void> {
  return new Promise(resolve => {
    // of what runs outside of any promise, ticks come first
    DONE.then(() => process.nextTick(resolve))
  })
}

const DONE = Promise.resolve()

/** Resolves when every promise that can go on without waiting for anything has done so: ticks come after them (Node 24). */
export async function untilPromisesHaveRun (): Promise<void> {
  await undefined // of what runs outside of any promise, ticks come first
  await new Promise<void>(resolve => process.nextTick(resolve))
}

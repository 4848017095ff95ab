import type { Test } from 'tap'

/** Notes what is rejected or thrown from now on and nobody handles. What it returns fails the test if there was anything. */
export function watchStrayErrors (t: Test): () => Promise<void> {
  const strays: unknown[] = []
  const note = (error: unknown): void => { strays.push(error) }
  const events = ['unhandledRejection', 'uncaughtException'] as const
  for (const event of events) process.on(event, note)
  t.teardown(() => {
    for (const event of events) process.off(event, note)
  })
  return async () => {
    await new Promise(resolve => setImmediate(resolve)) // Node reports a rejection when nobody has handled it for a turn
    t.strictSame(strays, [], 'nobody has handled these errors')
  }
}

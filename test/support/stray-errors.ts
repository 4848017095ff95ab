import type { Test } from 'tap'

/** Fails the test if anything is rejected or thrown until its end that nobody handles. */
export function watchStrayErrors (t: Test): void {
  const strays: unknown[] = []
  const note = (error: unknown): void => { strays.push(error) }
  const events = ['unhandledRejection', 'uncaughtException'] as const
  for (const event of events) process.on(event, note)
  t.teardown(async () => {
    await new Promise(resolve => setImmediate(resolve)) // Node reports a rejection when nobody has handled it for a turn
    for (const event of events) process.off(event, note)
    if (strays.length > 0) throw new AggregateError(strays, `${strays.length} errors that nobody has handled`)
  })
}

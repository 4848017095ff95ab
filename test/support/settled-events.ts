import diagnostics from 'node:diagnostics_channel'
import type { Test } from 'tap'
import type { SettledEvent } from '../../lib/context/events.ts'

/** What contexts say of their ends, until the test ends. */
export function collectSettled (t: Test): SettledEvent[] {
  const events: SettledEvent[] = []
  const note = (event: unknown): void => { events.push(event as SettledEvent) }
  diagnostics.subscribe('fastify-context-orm:settled', note)
  t.teardown(() => diagnostics.unsubscribe('fastify-context-orm:settled', note))
  return events
}

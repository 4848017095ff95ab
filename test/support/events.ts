import diagnostics from 'node:diagnostics_channel'
import type { Test } from 'tap'
import { captureLines, type ContextOrmChannels } from '../../index.ts'

/** What is published on a channel, until the test ends. */
export function collect<Name extends keyof ContextOrmChannels> (t: Test, name: Name): ContextOrmChannels[Name][] {
  const events: ContextOrmChannels[Name][] = []
  const note = (event: unknown): void => { events.push(event as ContextOrmChannels[Name]) }
  diagnostics.subscribe(name, note)
  t.teardown(() => diagnostics.unsubscribe(name, note))
  return events
}

/** Has events say which line they come from, until the test ends. */
export function withLines (t: Test): void {
  t.teardown(captureLines())
}

/** The line of this file that calls, or one that is so many lines away from it. */
export function here (offset = 0): RegExp {
  const [, file, line] = /\/([\w.-]+):(\d+):\d+\)?$/.exec(new Error('here').stack!.split('\n')[2]!)!
  return new RegExp(`/${file}:${Number(line) + offset}:\\d+$`)
}

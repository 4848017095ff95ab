import type { Test } from 'tap'
import { patience } from '../../lib/util/patience.ts'

/** For a test that waits until a wait is given up: it takes a tenth of the time. */
export function havingLittlePatience (t: Test): void {
  const usual = { ...patience }
  for (const [name, ms] of Object.entries(usual)) patience[name as keyof typeof patience] = ms / 10
  t.teardown(() => Object.assign(patience, usual))
}

/** What test files get in the place of tap when they are run more than once: it keeps their tests. */
import type { Test } from 'tap'

export interface CollectedTest {
  id: string
  options: object
  run (t: Test): unknown
}

export const collected: CollectedTest[] = []

interface Options {
  skip?: string | boolean
}

function test (name: string, ...rest: [CollectedTest['run']] | [Options, CollectedTest['run']]): void {
  const [options, run] = rest.length === 1 ? [{}, rest[0]] : rest
  if (options.skip !== undefined && options.skip !== false) return
  const same = collected.filter(({ id }) => id === name || id.startsWith(`${name} #`)).length
  collected.push({ id: same === 0 ? name : `${name} #${same + 1}`, options, run })
}

/** What a file closes at its end stays open for the next mutant. */
function teardown (): void {}

export default { test, teardown }

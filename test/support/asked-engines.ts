import { KINDS, type Kind } from './engines/engine.ts'

const { TEST_ENGINES } = process.env
const asked = TEST_ENGINES?.split(',') ?? KINDS
for (const name of asked) {
  if (!KINDS.includes(name as Kind)) throw new Error(`TEST_ENGINES has ${name}. It can have ${KINDS.join(', ')}, with commas between them`)
}

/** Why the tests of an engine are skipped, if TEST_ENGINES does not name it. */
export function notAskedFor (kind: Kind): 'not asked for' | false {
  return !asked.includes(kind) && 'not asked for'
}

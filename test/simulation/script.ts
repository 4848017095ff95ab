import fc from 'fast-check'
import type { Trouble } from './fake-database.ts'

/** What a request does, one after the other; `both` at the same time. */
export type Deed = 'write' | 'persist' | 'flush' | 'commit' | 'rollback' | 'branch' | 'transactional' | 'transactional that fails' | { both: [Part, Part] }

type Part = 'write' | 'branch' | 'transactional' | 'transactional that fails'

export interface Script {
  deeds: Deed[]
  /** What fails is caught, and the work goes on. */
  catches: boolean
  end: 'replies' | 'replies with an error status' | 'throws'
  /** Somebody else who may come at any time. */
  upset: 'client leaves' | 'error from outside' | 'second reply' | 'time is up' | undefined
  /** Its route has `retry`. */
  isRetried: boolean
}

const part: fc.Arbitrary<Part> = fc.constantFrom('write', 'branch', 'transactional', 'transactional that fails')

const deed: fc.Arbitrary<Deed> = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom<Deed>('write', 'persist', 'flush', 'commit', 'rollback', 'branch', 'transactional', 'transactional that fails') },
  { weight: 1, arbitrary: fc.record({ both: fc.tuple(part, part) }) }
)

const script: fc.Arbitrary<Script> = fc.record({
  deeds: fc.array(deed, { maxLength: 4 }),
  catches: fc.boolean(),
  end: fc.constantFrom('replies', 'replies', 'replies with an error status', 'throws'),
  upset: fc.constantFrom(undefined, 'client leaves', 'error from outside', 'second reply', 'time is up'),
  isRetried: fc.boolean()
})

export const scripts: fc.Arbitrary<Script[]> = fc.array(script, { minLength: 1, maxLength: 2 })

export const troubles: fc.Arbitrary<Trouble[]> = fc.array(fc.record({
  what: fc.constantFrom(
    'statement fails', 'statement conflicts', 'commit is refused', 'commit conflicts', 'connection dies before COMMIT', 'connection dies after COMMIT'
  ),
  after: fc.nat(2)
}), { maxLength: 2 })

import fc from 'fast-check'

const DEEDS = ['read', 'write', 'taken', 'doomed', 'hooks', 'commit', 'rollback'] as const
const UPSETS = ['client leaves', 'client leaves, and its request is ended', 'timeout', 'connection dies', 'before COMMIT', 'after COMMIT'] as const
const ENDS = ['replies', 'replies with an error status', 'throws', 'conflict'] as const
const STREAMS = ['of rows', 'that fails at once', 'that fails later', 'that the client leaves'] as const
const WRITES = ['write', 'taken', 'doomed'] as const

export type Write = typeof WRITES[number]
export type Deed = typeof DEEDS[number] | typeof UPSETS[number] | 'hijack' | 'answer' | { branch: Work } | { savepoint: Work } |
  { atOnce: Write[] } | { beside: Write } | { rows: Deed[] }

/** What a request does besides: one of these, or each request could be anything. */
const FEATURES = ['parallel', 'savepoints', 'streams', 'hijack'] as const

type Feature = typeof FEATURES[number]

/** What a handler or a branch does, one after the other. */
export interface Work {
  deeds: Deed[]
  /** A deed that fails ends the work: its error is not caught. */
  isStrict: boolean
  end: typeof ENDS[number]
  /** What is replied, if that is a stream. */
  stream?: typeof STREAMS[number] | undefined
}

/** One request. */
export interface Scenario {
  work: Work
  /** What the handler does if it is run again. */
  again: Work
  hasRetry: boolean
  hasTimeout: boolean
  feature: Feature | undefined
}

export const CONFLICT = 'CONFLICT_OF_THIS_TEST'

/** Connections die on servers only. */
export function scenarios (hasServer: boolean): fc.Arbitrary<Scenario> {
  const deed = fc.constantFrom(...DEEDS)
  const upset = fc.constantFrom(...UPSETS.slice(0, hasServer ? undefined : 3))
  return fc.oneof({ weight: 3, arbitrary: plainScenarios(deed, upset) }, ...FEATURES.map(feature => ({ weight: 1, arbitrary: featuredScenarios(feature, deed, upset) })))
}

/** Those that do something `once` at most: the model has one of it. */
function onlyOnce (deeds: Deed[]): Deed[] {
  const key = (deed: Deed): string => typeof deed === 'object' ? Object.keys(deed)[0]! : deed
  const isOnce = (deed: Deed): boolean => ['branch', 'savepoint'].includes(key(deed))
  return deeds.filter((deed, i) => !isOnce(deed) || deeds.findIndex(other => key(other) === key(deed)) === i)
}

function plainScenarios (deed: fc.Arbitrary<Deed>, upset: fc.Arbitrary<Deed>): fc.Arbitrary<Scenario> {
  const branch = workOf(fc.array(deed, { maxLength: 3 }), ['replies', 'throws'])
  const deeds = fc.array(fc.oneof({ weight: 6, arbitrary: deed }, { weight: 2, arbitrary: upset }, { weight: 1, arbitrary: fc.record({ branch }) }), { maxLength: 6 })
  const work = workOf(deeds.map(onlyOnce), ENDS)
  const again = workOf(fc.array(deed, { maxLength: 3 }), ['replies', 'throws'])
  return fc.record({ work, again, hasRetry: fc.boolean(), hasTimeout: fc.boolean(), feature: fc.constant(undefined) })
}

/** Nothing of it is retried, or has a timeout. */
function featuredScenarios (feature: Feature, deed: fc.Arbitrary<Deed>, upset: fc.Arbitrary<Deed>): fc.Arbitrary<Scenario> {
  const write = fc.constantFrom('write', ...WRITES)
  const inside = fc.array(fc.oneof({ weight: 3, arbitrary: deed.filter(deed => deed !== 'hooks') }, { weight: 3, arbitrary: write }, { weight: 1, arbitrary: upset }), { maxLength: 3 })
  const own: Record<Feature, fc.Arbitrary<Deed>> = {
    parallel: fc.oneof(fc.record({ atOnce: fc.tuple(write, write) }), fc.record({ beside: write })),
    savepoints: fc.record({ savepoint: workOf(inside, ['replies', 'throws']) }),
    streams: fc.record({ rows: inside }),
    hijack: fc.constantFrom('hijack' as const, 'answer' as const)
  }
  const deeds = fc.array(fc.oneof({ weight: 4, arbitrary: deed }, { weight: 3, arbitrary: own[feature] }, { weight: 1, arbitrary: upset }), { maxLength: 5 }).map(onlyOnce)
  const stream = feature === 'streams' ? fc.option(fc.constantFrom(...STREAMS), { nil: undefined }) : fc.constant(undefined)
  const work = fc.record({ deeds, isStrict: fc.boolean(), end: fc.constantFrom('replies', 'replies', ...ENDS.slice(0, 3)), stream })
  return fc.record({ work, again: work, hasRetry: fc.constant(false), hasTimeout: fc.constant(false), feature: fc.constant(feature) })
}

function workOf (deeds: fc.Arbitrary<Deed[]>, ends: ReadonlyArray<Work['end']>): fc.Arbitrary<Work> {
  return fc.record({ deeds, isStrict: fc.boolean(), end: fc.constantFrom(...ends) })
}

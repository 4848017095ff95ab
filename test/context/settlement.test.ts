import { readFile } from 'node:fs/promises'
import t from 'tap'
import { Settlement, TABLE, type Ending, type SettlementEvent, type State } from '../../lib/context/settlement.ts'
import { replaceDiagram } from '../../tools/settlement-diagram.ts'

const EVENTS: SettlementEvent[] = ['use', 'skip', 'decide', 'commit', 'fail', 'rollback', 'finish', 'close']
const STATES = Object.keys(TABLE) as State[]
const ENDS: SettlementEvent[] = ['skip', 'decide', 'rollback']

/** Longer than the longest way from the first state to the last: use, decide, commit, finish, close, and what may come between. */
const LENGTH = 7

/** What is seen from outside after each event. */
function walk (events: SettlementEvent[]): Array<{ state: State, ending: Ending | undefined, outcome: string | undefined, changed: boolean }> {
  const settlement = new Settlement()
  return events.map((event, i) => {
    const changed = settlement.advance(event, ENDS.includes(event) ? (['reply', 'error'] as const)[i % 2] : undefined)
    const { state, ending, outcome } = settlement
    return { state, ending, outcome, changed }
  })
}

t.test('whatever comes, in whatever order, there is one ending, one outcome and one release', async t => {
  let sequences = 0
  const seen = new Set<State>()
  const outcomes = new Set<string | undefined>()
  const faults: string[] = []
  const extend = (events: SettlementEvent[]): void => {
    if (events.length === LENGTH) return
    for (const event of EVENTS) {
      const next = [...events, event]
      sequences++
      const steps = walk(next)
      const [before, after] = [steps.at(-2), steps.at(-1)!]
      seen.add(after.state)
      outcomes.add(after.outcome)
      const isFaulty =
        (before?.ending !== undefined && after.ending !== before.ending) ||
        (before?.outcome !== undefined && after.outcome !== before.outcome) ||
        (after.outcome !== undefined && after.ending === undefined) ||
        (before?.state === 'released' && after.changed) ||
        (before !== undefined && !after.changed && after.state !== before.state) ||
        steps.filter(({ changed, state }) => changed && state === 'released').length > 1
      if (isFaulty) faults.push(next.join(', '))
      if (after.changed) extend(next) // what changes nothing leaves things where the shorter sequence has been
    }
  }
  extend([])
  t.strictSame(faults, [])
  t.ok(sequences > 100)
  t.strictSame([...seen].sort(), STATES.toSorted(), 'every state is reached')
  t.strictSame([...outcomes].sort(), ['commitFailed', 'committed', 'rolledBack', 'untouched', undefined])
})

/** What a state must hear of: were one of these dropped, something would never end, or nobody would know how. */
const MUST_HEAR: Record<State, SettlementEvent[]> = {
  unused: ['use', 'skip'],
  open: ['decide', 'rollback', 'close'],
  deciding: ['commit', 'fail', 'close'],
  ended: ['finish', 'close'],
  settled: ['close'],
  'open, closed': ['decide', 'rollback'],
  'deciding, closed': ['commit', 'fail'],
  'ended, closed': ['finish'],
  released: []
}

t.test('no event is ignored that must not be, and a decision is overtaken by nothing', async t => {
  for (const state of STATES) t.strictSame(Object.keys(TABLE[state]).sort(), MUST_HEAR[state].toSorted(), state)
})

t.test('from everywhere there is a way to the release', async t => {
  const ways = new Set<State>(['released'])
  for (let before = -1; before !== ways.size;) {
    before = ways.size
    for (const state of STATES) if (Object.values(TABLE[state]).some(next => ways.has(next))) ways.add(state)
  }
  t.strictSame([...ways].sort(), STATES.toSorted())
})

t.test('who comes late is told so, and what has overtaken a reply can be seen', async t => {
  const settlement = new Settlement()
  t.equal(settlement.isInUse, false)
  t.equal(settlement.advance('use'), true)
  t.equal(settlement.isInUse, true)
  t.equal(settlement.advance('rollback', 'error'), true)
  t.match(settlement, { isInUse: false, isOvertaken: true, isAborted: false, isReleased: false, ending: 'error', outcome: 'rolledBack' })
  t.equal(settlement.advance('decide', 'reply'), false)
  t.equal(settlement.advance('rollback', 'abort'), false)
  t.match(settlement, { ending: 'error', outcome: 'rolledBack' })
  const aborted = new Settlement()
  for (const event of ['use', 'close'] as const) aborted.advance(event)
  aborted.advance('rollback', 'abort')
  t.match(aborted, { state: 'ended, closed', isAborted: true, isOvertaken: true })
  aborted.advance('finish')
  t.equal(aborted.isReleased, true)
})

t.test('what has overtaken a reply, and what nobody waits for any more', async t => {
  const end = (...events: Array<[SettlementEvent, Ending?]>): Settlement => {
    const settlement = new Settlement()
    for (const event of events) settlement.advance(...event)
    return settlement
  }
  t.match(end(['use'], ['close']), { state: 'open, closed', isInUse: true, isOvertaken: false, isAborted: false })
  t.match(end(['use'], ['close'], ['rollback', 'close']), { isInUse: false, isOvertaken: true, isAborted: true })
  for (const ending of ['reply', 'status', 'return', 'throw'] as const) {
    t.match(end(['use'], ['decide', ending], ['commit']), { isInUse: false, isOvertaken: false, isAborted: false }, ending)
  }
})

t.test('the diagram in the docs is that of the table: npm run diagrams', async t => {
  const docs = await readFile(new URL('../../docs/settlement.md', import.meta.url), 'utf8')
  t.equal(replaceDiagram(docs), docs)
})

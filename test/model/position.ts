import { Settlement, type Ending, type Outcome, type SettlementEvent, type State } from '../../lib/context/settlement.ts'

/** Where the settlement of a context is. Two that are alike are the same object. */
export interface Position {
  readonly number: number
  readonly state: State
  readonly ending: Ending | undefined
  readonly outcome: Outcome | undefined
}

type Way = ReadonlyArray<readonly [event: SettlementEvent, ending: Ending | undefined]>

const known = new Map<string, Position>()
/** By which events a settlement gets there. */
const ways = new Map<Position, Way>()
const moves = new Map<string, Position>()

export const START: Position = meet([])

/** The library's own `Settlement` takes the step. Gives the same position where the event changes nothing. */
export function advance (position: Position, event: SettlementEvent, ending?: Ending): Position {
  const move = `${position.number} ${event} ${ending}`
  let next = moves.get(move)
  if (next === undefined) moves.set(move, next = meet([...ways.get(position)!, [event, ending]]))
  return next
}

function meet (way: Way): Position {
  const settlement = new Settlement()
  for (const [event, ending] of way) settlement.advance(event, ending)
  const { state, ending, outcome } = settlement
  const key = `${state} ${ending} ${outcome}`
  const position = known.get(key) ?? { number: known.size, state, ending, outcome }
  if (!known.has(key)) ways.set(position, way)
  known.set(key, position)
  return position
}

export function isInUse ({ state }: Position): boolean {
  return state === 'open' || state === 'open, closed'
}

/** Nobody has to wait for it any more. */
export function isOver ({ state }: Position): boolean {
  return state === 'unused' || state === 'settled' || state === 'released'
}

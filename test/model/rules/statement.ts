import { mayGoWrong, step, type Rule, type Sight, type Step } from '../step.ts'
import type { ContextState, Laws, World } from '../world.ts'
import { isRolledBack } from './use.ts'

type Way = 'is done' | 'fails' | 'is refused'

/** What the work says of the statements that it awaits. What cannot be released is gone back from. */
const SIGHTS: Record<ContextState['asks'], Partial<Record<Way, Sight>>> = {
  none: {},
  write: { 'is done': 'write', fails: 'write fails', 'is refused': 'write is refused' },
  late: { 'is done': 'write', fails: 'write fails', 'is refused': 'write is refused' },
  savepoint: { 'is done': 'enters a savepoint', fails: 'savepoint fails', 'is refused': 'savepoint fails' },
  release: { 'is done': 'savepoint is released' },
  'go back': { 'is done': 'savepoint is left', fails: 'savepoint is left', 'is refused': 'savepoint is left' }
}

/** The work awaits a statement, which is sent when it is its turn. */
export function ask (context: ContextState, asks: ContextState['asks'], laws: Laws): void {
  context.work = 'in statement'
  context.asks = asks
  if (context.transaction === 'none' && !isRolledBack(context)) context.transaction = 'wanted'
  sendNext(context, laws)
}

/** Statements of one context are sent one after the other, in the order in which they came, and nothing after one that has failed. */
export function sendNext (context: ContextState, { faults }: Laws): void {
  const { transaction, asks, savepoint } = context
  if (isRolledBack(context) && !faults.has('writes are accepted after the end')) return
  const mends = transaction === 'failed' && asks === 'go back'
  const isOpen = transaction === 'open' || transaction === 'lost' || (transaction === 'failed' && faults.has('a statement is sent after one that has failed'))
  if (isOpen && context.beside === 'waits') {
    context.beside = 'sent'
    context.hasForeignWrites ||= savepoint === 'open' && !context.isBesideInside
  }
  if (context.beside !== 'none' && !faults.has('statements of one context are sent at once')) return
  const isLate = asks === 'late' && !faults.has('what still comes from a savepoint that was gone back to is accepted')
  if ((isOpen || mends) && asks !== 'none' && !isLate) context.isSent = true
}

/** That of the work, or what it has left beside it. */
export const statementEnds: Rule = (world, number, laws) => {
  const { asks, isSent, beside, transaction } = world.contexts[number]!
  if (transaction === 'wanted' || transaction === 'beginning') return []
  const steps: Step[] = []
  if (beside !== 'none') steps.push(...endsOf(world, number, laws, 'write', beside === 'sent', true))
  if (asks !== 'none' && (beside === 'none' || isSent)) steps.push(...endsOf(world, number, laws, asks, isSent, false))
  return steps
}

function endsOf (world: World, number: number, laws: Laws, asks: ContextState['asks'], isSent: boolean, isBeside: boolean): Step[] {
  const context = world.contexts[number]!
  const { transaction } = context
  const ends = (way: Way, change: (context: ContextState) => void = () => {}, isMishap = false): Step => (
    step(world, number, `a ${asks}${isBeside ? ' beside' : ''} ${way}`, { sight: isBeside ? undefined : SIGHTS[asks][way], isMishap }, context => {
      if (isBeside) context.beside = 'none'
      else Object.assign(context, { work: 'running', asks: 'none', isSent: false })
      change(context)
      if (!isBeside && way !== 'is done') leaveAfter(context, asks, laws)
      sendNext(context, laws)
    }))
  if (!isSent) {
    const isEnded = isRolledBack(context)
    if (transaction === 'arrived') return isEnded ? [ends('is refused')] : []
    if (transaction === 'none') return [ends('fails'), ...isEnded ? [ends('is refused')] : []]
    return [!isEnded && (transaction === 'failed' || transaction === 'dead') ? ends('fails') : ends('is refused')]
  }
  switch (transaction) {
    case 'lost': return [ends('fails', context => { context.transaction = 'dead' })]
    case 'dead': return [ends('fails')]
    case 'failed': if (asks !== 'go back') return [ends('is done', commitByItself)]
  }
  const isDone = ends('is done', context => conclude(context, asks, isBeside, laws))
  return mayGoWrong(world, laws) && asks !== 'go back' ? [isDone, ends('fails', context => { context.transaction = 'failed' }, true)] : [isDone]
}

function conclude (context: ContextState, asks: ContextState['asks'], isBeside: boolean, { faults }: Laws): void {
  switch (asks) {
    case 'write':
      if (context.savepoint === 'open' && (!isBeside || context.isBesideInside)) context.inside = 'written'
      else context.hasWritten = true
      break
    case 'late': context.inside = 'written'; break
    case 'savepoint': Object.assign(context, { savepoint: 'open', hasForeignWrites: false }); break
    case 'release':
      context.savepoint = 'none'
      if (context.inside === 'written') context.inside = 'released'
      break
    case 'go back': {
      const isTold = !faults.has('what a savepoint takes along is not told')
      context.hasLost ||= context.hasForeignWrites && !isTold
      context.transaction = context.hasForeignWrites && isTold ? 'failed' : 'open'
      if (!faults.has('a savepoint that is gone back to keeps what is inside') && context.inside !== 'kept') context.inside = 'none'
      if (context.rows === 'in transaction') context.rows = 'none'
      context.savepoint = 'taken back'
    }
  }
}

/** With the statement that has failed, the database may have rolled back by itself. */
function commitByItself (context: ContextState): void {
  context.kept++
}

/** MikroORM goes back to a savepoint that it could not release. Where that fails too, the transaction is to be rolled back anyway. */
function leaveAfter (context: ContextState, asks: ContextState['asks'], laws: Laws): void {
  if (asks === 'release') ask(context, 'go back', laws)
  if (asks === 'go back') context.savepoint = 'taken back'
}

import { mayGoWrong, step, type Rule, type Step } from '../step.ts'
import type { World, Laws, ContextState } from '../world.ts'
import { sendNext } from './statement.ts'
import { giveBack, isRolledBack } from './use.ts'

/** The pool has a connection for a context that wants one. If that has ended since, it goes straight back. */
export const connectionArrives: Rule = (world, number, { faults }) => {
  const context = world.contexts[number]!
  if (context.transaction !== 'wanted' || world.free === 0) return []
  if (!isTooLate(context, faults)) {
    return [step(world, number, 'a connection arrives', {}, (context, world) => {
      Object.assign(context, { holds: 1, transaction: 'arrived' })
      world.free--
    })]
  }
  return [step(world, number, 'a connection comes too late', {}, (context, world) => {
    context.transaction = 'none'
    if (!faults.has('a connection that comes after the end is kept')) return
    context.holds = 1
    world.free--
  })]
}

/** The transaction begins for the statements that wait for it. The first of them may travel with its `BEGIN`. */
export const transactionBegins: Rule = (world, number, laws) => {
  const context = world.contexts[number]!
  if (context.transaction === 'arrived' && !isTooLate(context, laws.faults)) {
    return [step(world, number, 'BEGIN is sent', {}, context => { context.transaction = 'beginning' })]
  }
  if (context.transaction !== 'beginning') return []
  const begins = (name: string, isSentAnyway = false): Step => step(world, number, name, { sight: 'begun' }, context => {
    context.transaction = 'open'
    sendNext(context, laws)
    if (!isSentAnyway) return
    if (context.beside === 'waits') context.beside = 'sent'
    else context.isSent = true
  })
  return [
    begins('BEGIN is answered'),
    ...isTooLate(context, laws.faults) ? [begins('BEGIN is answered, and a statement was sent with it', true)] : [],
    ...mayGoWrong(world, laws) ? [step(world, number, 'BEGIN fails', { sight: 'connection is back', isMishap: true }, giveBack)] : []
  ]
}

function isTooLate (context: ContextState, faults: Laws['faults']): boolean {
  return isRolledBack(context) && !faults.has('writes are accepted after the end')
}

/** The server or the network ends a connection. Whoever holds it need not notice. (One that dies before its transaction has begun fails with `BEGIN`.) */
export const connectionDies: Rule = (world, number, laws) => {
  const { transaction, commit } = world.contexts[number]!
  if (!mayGoWrong(world, laws) || transaction !== 'open') return []
  const isCommitting = commit === 'sent' || commit === 'at server'
  return [step(world, number, `a connection dies${isCommitting ? `, with its commit ${commit}` : ''}`, { isMishap: true }, context => {
    if (isCommitting) context.commit = 'in doubt'
    context.transaction = 'lost'
  })]
}

/**
 * Whoever waits for a connection, with all of them held around waits, would wait for ever: the library refuses the wait. Where there is one
 * connection, that is so at once.
 */
export const waitIsRefused: Rule = (world, number, { plan, faults }) => {
  const context = world.contexts[number]!
  const isAwaited = (holder: number, waiting: number): boolean => holder === waiting
    ? world.contexts[holder]!.rows === 'outside' && !faults.has('a context that waits for its own rows is not noticed')
    : isAround(world, holder, waiting, plan)
  const holds = (holder: number): boolean => world.contexts[holder]!.holds > 0 || world.contexts[holder]!.rows === 'outside'
  const numbers = [...world.contexts.keys()]
  if (context.transaction !== 'wanted' || world.free > 0 || !numbers.some(holder => holds(holder) && isAwaited(holder, number))) return []
  if (plan.isSingle === true) {
    return faults.has('nobody looks for a context around that holds the connection') ? [] : [step(world, number, 'a context around holds the connection', {}, refuse)]
  }
  const isCircle = numbers.every(holder => !holds(holder) || numbers.some(i => world.contexts[i]!.transaction === 'wanted' && isAwaited(holder, i)))
  return isCircle && !faults.has('a starved pool is not noticed') ? [step(world, number, 'the pool is starved', {}, refuse)] : []
}

/** What has ended is around nothing any more. */
function isAround (world: World, outer: number, inner: number, { contexts }: Laws['plan']): boolean {
  for (let around = contexts[inner]!.branchOf; around !== undefined; around = contexts[around]!.branchOf) {
    if (world.contexts[around]!.position.ending === undefined && around === outer) return true
  }
  return false
}

function refuse (context: ContextState): void {
  context.transaction = 'none'
}

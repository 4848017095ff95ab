import { advance, isInUse, START } from '../position.ts'
import { mayGoWrong, step, type Rule } from '../step.ts'
import type { ContextState, Laws } from '../world.ts'
import { close } from './use.ts'

/** A reply sets out, or the result of a branch, and the library settles before. */
export function askToReply (context: ContextState, reply: 'success' | 'status', { faults }: Laws, isBranch: boolean, isStream = false): void {
  if (context.isHijacked) return
  // after a reply that was sent, or after what this one speaks of was taken back, it goes nowhere
  if (context.told !== 'nothing' || (isOvertaken(context) && !isBranch)) return
  context.reply = isOvertaken(context) ? 'failure' : reply
  context.body = isStream && context.reply === 'success' ? 'waits' : 'none'
  if (!isInUse(context.position)) {
    context.position = advance(context.position, 'skip', isBranch ? 'return' : 'reply')
  } else if (reply === 'status' && !faults.has('an error status commits')) {
    beginRollback(context, 'status')
  } else {
    context.isByHand = false
    context.commit = 'preparing'
  }
}

/** An error takes the way of errors: of the work, of a timeout, or of the library's own. */
export function throwOf (context: ContextState, laws: Laws, isBranch: boolean, isRetriable = false, reply: 'failure' | 'in doubt' = 'failure'): void {
  const { ending, outcome, state } = context.position
  const { plan, faults } = laws
  if (context.told !== 'nothing' || context.isHijacked) return
  const isDecided = (ending === 'reply' || ending === 'return') && outcome !== 'untouched'
  if (isDecided && context.after !== 'finished' && !faults.has('an error overtakes a commit that was sent')) return // the first reply stands
  if (outcome === 'committed' && context.kept > 0 && !faults.has('an error after the commit is sent')) {
    Object.assign(context, { told: 'broken', body: 'none' })
    return
  }
  context.body = 'none'
  context.isRetrying = plan.can.has('retry') && isRetriable && isWorthAnother(context, reply, laws)
  context.reply = context.failedCommit === 'in doubt' ? 'in doubt' : reply // whoever answers: it is an error, and the log says which
  if (isInUse(context.position)) beginRollback(context, isBranch ? 'throw' : 'error')
  else if (state === 'unused') context.position = advance(context.position, 'skip', isBranch ? 'throw' : 'error')
}

function isWorthAnother (context: ContextState, reply: 'failure' | 'in doubt', { faults }: Laws): boolean {
  const hasCommitted = context.keptByHand > 0 && !faults.has('a commit by hand is forgotten by the next attempt')
  const isInDoubt = reply === 'in doubt' && !faults.has('a commit in doubt is run again')
  return context.attempt === 1 && !hasCommitted && !isInDoubt && !context.hasTimedOut && !context.isGone
}

export function beginRollback (context: ContextState, ending: 'status' | 'error' | 'throw' | 'abort' | 'close'): void {
  context.position = advance(context.position, 'rollback', ending)
  context.rollback = 'wanted'
}

export function isOvertaken ({ position: { ending, outcome } }: ContextState): boolean {
  return (ending === 'error' || ending === 'abort' || ending === 'close') && outcome !== 'untouched'
}

/** A reply leaves when the context has settled. That to an error does not wait for what may take long. */
export const replyLeaves: Rule = (world, number, { plan, faults }) => {
  const context = world.contexts[number]!
  const { reply, position } = context
  if (reply === 'none' || context.told !== 'nothing' || context.isRetrying || context.isGone) return []
  const isBranch = plan.contexts[number]!.branchOf !== undefined
  const isSettled = context.after === 'finished' || position.outcome === 'untouched'
  const isError = (reply === 'failure' || reply === 'in doubt') && position.ending === 'error'
  const isBusy = context.transaction === 'wanted' || context.work === 'in statement' || context.beside !== 'none' || (context.isByHand && context.commit !== 'none') || context.handRollback !== 'none'
  const isEarly = !isBranch && ((isError && (plan.can.has('timeout') || isBusy)) || (position.ending === 'status' && isBusy))
  const isHasty = reply === 'success' && context.commit !== 'none' && (
    (faults.has('the reply leaves before its commit is answered') && context.commit === 'sent') ||
    (faults.has('the first chunk of a stream does not wait for the commit') && context.body === 'ready'))
  if (context.body === 'waits') return []
  if (!isSettled && !isEarly && !isHasty) return []
  const told = reply === 'status' ? 'failure' : reply
  return [step(world, number, `the reply leaves: ${told}`, { sight: `told ${told}` }, context => {
    context.told = told
    if (context.body !== 'none') context.body = 'flows'
  })]
}

/** The response has closed: the client has its reply, or its connection was broken. */
export const responseCloses: Rule = (world, number, { plan, faults }) => {
  const context = world.contexts[number]!
  if (plan.contexts[number]!.branchOf !== undefined || context.told === 'nothing' || context.isGone || context.body !== 'none') return []
  return [step(world, number, 'the response closes', { sight: 'closed' }, context => {
    context.isGone = true
    if (context.told === 'by itself') settleHijacked(context, faults)
    if (context.position.state !== 'unused') close(context)
  })]
}

/** The end of a hijacked reply ends its context, too: no hook does. */
function settleHijacked (context: ContextState, faults: Laws['faults']): void {
  if (!isInUse(context.position) || faults.has('nobody looks at the end of a hijacked reply')) return
  if (faults.has('a hijacked reply commits when it ends')) Object.assign(context, { commit: 'preparing', isByHand: false })
  else beginRollback(context, 'close')
}

/** The client goes away before it has a reply, or all of one. */
export const clientLeaves: Rule = (world, number, laws) => {
  const context = world.contexts[number]!
  const { faults, plan } = laws
  if (!mayGoWrong(world, laws) || plan.contexts[number]!.branchOf !== undefined || context.isGone || (context.told !== 'nothing' && context.body === 'none')) return []
  return [step(world, number, 'the client leaves', { sight: 'closed', isMishap: true }, context => {
    context.isGone = true
    context.body = 'none'
    if (context.position.state === 'unused' || faults.has('a client that leaves is not noticed')) return // nobody listens before the first use
    if (context.position.ending === undefined) beginRollback(context, 'abort')
    if (faults.has('an abort overtakes a commit that was sent') && context.commit === 'sent') context.position = advance(advance(START, 'use'), 'rollback', 'abort')
    if (faults.has('a close before the end is forgotten') && context.after !== 'finished') return
    close(context)
  })]
}

/** Fastify answers for a handler that takes too long, which goes on. */
export const timeoutFires: Rule = (world, number, laws) => {
  const context = world.contexts[number]!
  const isOfNone = !laws.plan.can.has('timeout') || laws.plan.contexts[number]!.branchOf !== undefined
  if (isOfNone || !mayGoWrong(world, laws) || context.isGone || context.isHijacked || context.hasTimedOut || context.told !== 'nothing') return []
  return [step(world, number, 'a handlerTimeout fires', { sight: 'times out', isMishap: true }, context => {
    context.hasTimedOut = true
    throwOf(context, laws, false)
  })]
}

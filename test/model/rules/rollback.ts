import { step, type Rule } from '../step.ts'
import type { ContextState } from '../world.ts'
import { giveBack, takeHooks } from './use.ts'

/** A rollback comes when the statement that is running, or the commit that is on its way, has ended. It waits for no connection. */
export const rollbackTakesItsTurn: Rule = (world, number, { faults }) => {
  const context = world.contexts[number]!
  const isHasty = faults.has('a rollback passes over a statement that is running')
  if (context.rollback === 'wanted' && (isFree(context) || isHasty)) {
    const needsAConnection = faults.has('a rollback waits for a connection of its own') && context.holds === 0
    if (needsAConnection && world.free === 0) return []
    return [step(world, number, 'the transaction is rolled back', { sight: sightOf(context) }, (context, world) => {
      giveBack(context, world)
      context.rollback = 'back'
    })]
  }
  // a commit by hand has its hooks for itself
  const isTurn = context.commit === 'none' || faults.has('an abort takes the hooks of a commit by hand')
  if (context.rollback !== 'back' || !isTurn) return []
  return [step(world, number, 'a rollback is done', {}, context => {
    context.rollback = 'none'
    context.after = 'telling'
  })]
}

export const rollbackByHand: Rule = (world, number) => {
  const context = world.contexts[number]!
  if (context.handRollback !== 'wanted' || !isFree(context)) return []
  return [step(world, number, 'a rollback by hand is done', { sight: sightOf(context) }, (context, world) => {
    giveBack(context, world)
    context.handRollback = 'none'
    takeHooks(context, 'afterRollback')
  })]
}

function isFree ({ transaction, commit, asks, beside }: ContextState): boolean {
  const isBusy = (asks !== 'none' || beside !== 'none') && transaction !== 'none' && transaction !== 'arrived'
  return !isBusy && (commit === 'none' || commit === 'preparing' || commit === 'ended')
}

/** What nothing was sent on cannot be told from other connections. */
function sightOf ({ holds, transaction }: ContextState): 'connection is back' | undefined {
  return holds > 0 && transaction !== 'arrived' ? 'connection is back' : undefined
}

import { advance } from '../position.ts'
import { mayGoWrong, step, type Rule, type Step } from '../step.ts'
import type { ContextState, Laws, World } from '../world.ts'
import { throwOf } from './reply.ts'
import { cutByCommit, waitsForFirstChunk } from './rows.ts'
import { giveBack, hasUncommitted, takeHooks } from './use.ts'

/** Flushes, hooks before the commit, and the decision. Whatever ends the context meanwhile overtakes it. */
export const commitIsPrepared: Rule = (world, number, laws) => {
  const context = world.contexts[number]!
  const { commit, position, hooks, isByHand, savepoint } = context
  if (commit !== 'preparing') return []
  const isBranch = isBranchIn(laws, number)
  if (position.ending !== undefined && !laws.faults.has('a commit goes on though the context has ended')) {
    return [step(world, number, 'a commit is overtaken', {}, context => {
      Object.assign(context, { commit: 'none', body: 'none' })
      if (isByHand) Object.assign(context, { hasFailedByHand: true, handHooks: 'taken' })
      else if (isBranch) context.reply = 'failure'
    })]
  }
  if (waitsForFirstChunk(context, laws)) return []
  if (hooks === 'registered') {
    const runs = step(world, number, 'hooks before the commit run', { sight: 'beforeCommit' }, context => { context.hooks = 'prepared' })
    if (!mayGoWrong(world, laws)) return [runs]
    return [runs, step(world, number, 'a hook before the commit throws', { sight: 'beforeCommit', isMishap: true }, context => {
      context.commit = 'none'
      context.hooks = 'prepared'
      if (isByHand) Object.assign(context, { hasFailedByHand: true, handRollback: 'wanted' })
      else throwOf(context, laws, isBranch)
    })]
  }
  if (savepoint === 'open' && !isByHand && !laws.faults.has('half of a savepoint is committed')) {
    return [step(world, number, 'a commit is refused that would end a savepoint', {}, context => {
      context.commit = 'none'
      throwOf(context, laws, isBranch)
    })]
  }
  return [step(world, number, 'a commit is decided', {}, context => decide(context, laws, isBranch))]
}

function decide (context: ContextState, laws: Laws, isBranch: boolean): void {
  const { faults } = laws
  if (!context.isByHand) context.position = advance(context.position, 'decide', isBranch ? 'return' : 'reply')
  if (context.transaction === 'failed' && faults.has('a commit passes over a statement that has failed')) {
    context.hasLost = true
    context.transaction = 'open'
  }
  const isCut = cutByCommit(context, laws)
  context.commit = isCut ? 'refused' : hasStatements(context) && !faults.has('a commit passes over a statement that waits') ? 'sending' : nextOf(context)
}

/** A commit takes its turn after every statement that was accepted before. */
function hasStatements ({ asks, beside }: ContextState): boolean {
  return asks !== 'none' || beside !== 'none'
}

function nextOf ({ transaction }: ContextState): ContextState['commit'] {
  return transaction === 'none' ? 'answered' : transaction === 'failed' || transaction === 'dead' ? 'refused' : 'sending'
}

/** COMMIT on its way to the server and back. */
export const commitTravels: Rule = (world, number, laws) => {
  const context = world.contexts[number]!
  const { commit, transaction, isByHand, hooks } = context
  const { faults } = laws
  if (commit === 'sending' && hasStatements(context) && !faults.has('a commit passes over a statement that waits')) return []
  if (commit === 'sending' && nextOf(context) !== 'sending') return [step(world, number, 'the turn of a commit comes', {}, context => { context.commit = nextOf(context) })]
  if (commit === 'sending') return [step(world, number, 'COMMIT is sent', { sight: 'COMMIT' }, context => { context.commit = 'sent' })]
  if (commit === 'at server') return [step(world, number, 'COMMIT is answered', {}, context => { context.commit = 'answered' })]
  if (commit !== 'sent') return []
  if (transaction === 'lost') {
    return [step(world, number, 'COMMIT finds its connection dead', {}, context => {
      const isTaken = faults.has('a connection that has died is taken for one that has committed')
      context.commit = isTaken ? 'answered' : 'in doubt'
      context.hasLost ||= isTaken && hasUncommitted(context)
    })]
  }
  const steps: Step[] = [step(world, number, 'the server commits', {}, context => {
    context.commit = 'at server'
    if (hasUncommitted(context)) context[isByHand ? 'keptByHand' : 'kept'] = Math.min(2, context[isByHand ? 'keptByHand' : 'kept'] + 1)
    context.hasWritten = false
    if (context.inside !== 'none') context.inside = 'kept'
  })]
  if (mayGoWrong(world, laws)) steps.push(step(world, number, 'the server refuses the commit', { isMishap: true }, context => { context.commit = 'refused' }))
  if (faults.has('hooks are run before the commit is answered') && hooks !== 'none') {
    steps.push(step(world, number, 'hooks run too early', { sight: 'afterCommit' }, context => { context.hooks = 'none' }))
  }
  return steps
}

/** The connection is back, and the library knows as much as it ever will. */
export const commitEnds: Rule = (world, number, laws) => {
  const { commit, isByHand, holds } = world.contexts[number]!
  if (commit !== 'answered' && commit !== 'refused' && commit !== 'in doubt') return []
  return [step(world, number, `a commit ends: ${commit}`, { sight: holds > 0 ? 'connection is back' : undefined }, (context, world) => {
    giveBackAfter(context, world, laws)
    context.commit = 'none'
    if (commit === 'in doubt' && !laws.faults.has('hooks of a commit in doubt are run')) context.hooks = 'none'
    if (isByHand) endByHand(context, commit, laws)
    else end(context, commit, laws, isBranchIn(laws, number))
  })]
}

function end (context: ContextState, commit: 'answered' | 'refused' | 'in doubt', laws: Laws, isBranch: boolean): void {
  context.position = advance(context.position, commit === 'answered' ? 'commit' : 'fail')
  context.after = 'telling'
  if (commit === 'answered') return
  const isTold = commit === 'in doubt' && !laws.faults.has('a commit in doubt is told as a failure')
  context.failedCommit = isTold ? 'in doubt' : 'failure'
  context.body = 'none'
  if (isBranch) context.reply = context.failedCommit
}

function endByHand (context: ContextState, commit: 'answered' | 'refused' | 'in doubt', { faults }: Laws): void {
  context.commit = 'ended'
  if (commit === 'answered') return
  if (faults.has('what a failed commit by hand has lost is not told')) context.hasLost = true
  else context.hasFailedByHand = true
}

/** A commit by hand that has failed after its context has ended leaves the hooks to that. */
export const hooksAreTaken: Rule = (world, number) => {
  const { commit, hasFailedByHand } = world.contexts[number]!
  if (commit !== 'ended') return []
  return [step(world, number, 'a commit by hand takes its hooks', {}, context => {
    context.commit = 'none'
    if (!hasFailedByHand || context.position.ending === undefined) takeHooks(context, hasFailedByHand ? 'afterRollback' : 'afterCommit')
    else context.handHooks = 'taken'
  })]
}

function giveBackAfter (context: ContextState, world: World, { faults }: Laws): void {
  const { holds, commit } = context
  giveBack(context, world)
  if (commit === 'answered' || holds === 0) return
  if (faults.has('a connection is given back twice when COMMIT fails')) world.free++
  if (!faults.has('a connection is kept when COMMIT fails')) return
  context.holds = 1
  world.free--
}

function isBranchIn ({ plan }: Laws, number: number): boolean {
  return plan.contexts[number]!.branchOf !== undefined
}

import { advance } from '../position.ts'
import { step, type Rule, type Step } from '../step.ts'
import { FRESH } from '../world.ts'
import { throwOf } from './reply.ts'

/** What follows the outcome: events, hooks, and the end. */
export const outcomeIsTold: Rule = (world, number, laws) => {
  const { after, position, hooks, failedCommit } = world.contexts[number]!
  const { faults } = laws
  switch (after) {
    case 'telling': return [step(world, number, `settles: ${position.outcome}`, { sight: `settled ${position.outcome} ${position.ending}` }, context => { context.after = 'hooks' })]
    case 'hooks': return [step(world, number, 'hooks after the end run', { sight: hooks === 'none' ? undefined : position.outcome === 'committed' ? 'afterCommit' : 'afterRollback' }, context => {
      context.after = hooks !== 'none' && faults.has('hooks after the end are the last thing that happens') ? 'none' : 'finishing'
      context.hooks = 'none'
    })]
    case 'finishing': {
      const isBranch = laws.plan.contexts[number]!.branchOf !== undefined
      const finishes = (name: string, isRetriable: boolean): Step => step(world, number, name, {}, context => {
        context.position = advance(context.position, 'finish')
        context.after = 'finished'
        if (failedCommit !== 'none' && !isBranch) throwOf(context, laws, false, isRetriable, failedCommit)
      })
      const mayBeOthers = failedCommit !== 'none' && !isBranch && laws.plan.can.has('retry')
      return [finishes('the context is settled', false), ...mayBeOthers ? [finishes('the context is settled, and failed because of others', true)] : []]
    }
    default: return []
  }
}

/** Hooks of a commit or rollback by hand, and then the work goes on. */
export const handHooksRun: Rule = (world, number) => {
  const { handHooks, hasFailedByHand } = world.contexts[number]!
  if (handHooks === 'none') return []
  if (handHooks !== 'taken') return [step(world, number, `hooks by hand run: ${handHooks}`, { sight: handHooks }, context => { context.handHooks = 'taken' })]
  const sight = hasFailedByHand ? 'commit by hand fails' : 'has settled by hand'
  return [step(world, number, sight, { sight }, context => {
    Object.assign(context, { handHooks: 'none', work: 'running', isByHand: false, hasFailedByHand: false })
  })]
}

/** The next attempt at a request begins when the one before is rolled back, with nothing of that. */
export const nextAttemptBegins: Rule = (world, number, { faults }) => {
  const { isRetrying, after, position, isGone } = world.contexts[number]!
  if (!isRetrying || isGone) return []
  const isRolledBack = after === 'finished' || position.outcome === 'untouched'
  if (!isRolledBack && !faults.has('an attempt begins before the one before is rolled back')) return []
  return [step(world, number, 'the work is run again', { sight: 'runs again' }, context => {
    const { kept, keptByHand, attempt, holds } = context
    Object.assign(context, FRESH, { kept, keptByHand, attempt: attempt + 1, holds })
  })]
}

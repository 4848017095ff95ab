import { isInUse } from '../position.ts'
import { mayGoWrong, step, type Rule } from '../step.ts'
import type { ContextState } from '../world.ts'
import { askToReply, throwOf } from './reply.ts'
import { areInTheWay } from './rows.ts'
import { ask } from './statement.ts'
import { use } from './use.ts'

/** What the work of a context does while it awaits nothing: the handler of a request, or the function of a branch. */
export const workDoes: Rule = (world, number, laws) => {
  const { plan } = laws
  const isBranch = plan.contexts[number]!.branchOf !== undefined
  const { work, savepoint, isHijacked } = world.contexts[number]!
  if (work !== 'running') return []
  const ends = (how: string, sight: 'replies' | 'replies with a stream' | 'replies with an error status' | 'throws', isMishap: boolean, end: (context: ContextState) => void) => (
    step(world, number, how, { sight, isMishap }, context => {
      context.work = 'done'
      end(context)
    }))
  const steps = [
    step(world, number, 'reads', { sight: 'read' }, use),
    ends('succeeds', 'replies', false, context => askToReply(context, 'success', laws, isBranch))
  ]
  if (savepoint === 'open') {
    steps.push(ends('succeeds from inside a savepoint', 'replies', false, context => {
      context.savepoint = 'none' // released with the commit
      if (context.inside === 'written') context.inside = 'released'
      askToReply(context, 'success', laws, isBranch)
    }))
  }
  if (plan.can.has('streams') && !isBranch && !isHijacked) {
    steps.push(ends('replies with a stream', 'replies with a stream', false, context => askToReply(context, 'success', laws, false, true)))
  }
  if (!plan.can.has('fail')) return steps
  steps.push(ends('throws', 'throws', false, context => throwOf(context, laws, isBranch)))
  if (!isBranch) steps.push(ends('replies with an error status', 'replies with an error status', false, context => askToReply(context, 'status', laws, isBranch)))
  if (mayGoWrong(world, laws) && plan.can.has('retry') && !isBranch) {
    steps.push(ends('throws what is worth another attempt', 'throws', true, context => throwOf(context, laws, isBranch, true)))
  }
  return steps
}

export const workWrites: Rule = (world, number, laws) => {
  const { faults } = laws
  const context = world.contexts[number]!
  if (context.work !== 'running') return []
  const isOpen = context.position.ending === undefined && !(context.isGone && context.position.state === 'unused')
  if (!isOpen && !faults.has('writes are accepted after the end')) return [step(world, number, 'writes, and is refused', { sight: 'write is refused' }, use)]
  if (areInTheWay(context, laws)) return [step(world, number, 'writes beside rows that are read', { sight: 'write fails' }, () => {})]
  if (isFailed(context)) return [step(world, number, 'writes after a statement that has failed', { sight: 'write fails' }, () => {})]
  return [step(world, number, 'writes', {}, context => {
    use(context)
    ask(context, 'write', laws)
  })]
}

/** A statement has failed before, and none comes before the next one. */
export function isFailed ({ transaction, beside }: ContextState): boolean {
  return beside === 'none' && (transaction === 'failed' || transaction === 'dead')
}

export const workSettlesByHand: Rule = (world, number, { plan, faults }) => {
  const { work, position, savepoint } = world.contexts[number]!
  if (work !== 'running' || !plan.can.has('settle by hand')) return []
  if (position.outcome === 'rolledBack') return [step(world, number, 'rolls back by hand what is rolled back', { sight: 'has settled by hand' }, () => {})]
  if (!isInUse(position)) return []
  if (savepoint === 'open' && !faults.has('a commit by hand ends a savepoint')) return [step(world, number, 'would end a savepoint by hand', { sight: 'commit by hand fails' }, () => {})]
  return [
    step(world, number, 'commits by hand', {}, context => {
      context.work = 'blocked'
      context.isByHand = true
      context.commit = 'preparing'
    }),
    step(world, number, 'rolls back by hand', {}, context => {
      context.work = 'blocked'
      context.handRollback = 'wanted'
    })
  ]
}

export const workRegistersHooks: Rule = (world, number, { plan }) => {
  const { work, hooks, position } = world.contexts[number]!
  if (work !== 'running' || !plan.can.has('hooks') || hooks !== 'none' || position.ending !== undefined) return []
  return [step(world, number, 'registers hooks', { sight: 'hooks are registered' }, context => {
    use(context)
    if (context.position.ending !== undefined) return
    Object.assign(context, { hooks: 'registered', keptBeforeHooks: context.kept + context.keptByHand })
  })]
}

import { step, type Rule } from '../step.ts'
import { close } from './use.ts'

/** The work of a context opens a branch, which it awaits unless it leaves it behind. */
export const branchBegins: Rule = (world, number, { plan }) => {
  const { branchOf, isLeftBehind } = plan.contexts[number]!
  if (branchOf === undefined || world.contexts[number]!.work !== 'unborn' || world.contexts[branchOf]!.work !== 'running') return []
  return [step(world, number, 'a branch begins', { sight: 'enters a branch' }, (branch, world) => {
    branch.work = 'running'
    if (isLeftBehind !== true) world.contexts[branchOf] = { ...world.contexts[branchOf]!, work: 'in branch' }
  })]
}

/** Whoever awaits the branch has its result, or its error, and goes on either way. */
export const branchReturns: Rule = (world, number, { plan }) => {
  const { branchOf, isLeftBehind } = plan.contexts[number]!
  const { told, isGone } = world.contexts[number]!
  if (branchOf === undefined || told === 'nothing' || isGone) return []
  return [step(world, number, 'the branch returns', {}, (branch, world) => {
    branch.isGone = true
    close(branch)
    if (isLeftBehind !== true) world.contexts[branchOf] = { ...world.contexts[branchOf]!, work: 'running' }
  })]
}

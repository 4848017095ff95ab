import { step, type Rule } from '../step.ts'

/** The work takes the response over, and answers by itself. Only by hand is anything committed. */
export const workHijacks: Rule = (world, number, { plan }) => {
  const { work, told, reply, isHijacked, isGone, position } = world.contexts[number]!
  if (!plan.can.has('hijack') || plan.contexts[number]!.branchOf !== undefined || told !== 'nothing' || isGone) return []
  if (isHijacked) return work === 'running' || work === 'done' ? [step(world, number, 'answers by itself', { sight: 'told success' }, context => { context.told = 'by itself' })] : []
  if (work !== 'running' || reply !== 'none' || position.ending !== undefined) return []
  return [step(world, number, 'hijacks its reply', { sight: 'hijacks' }, context => { context.isHijacked = true })]
}

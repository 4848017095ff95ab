import { step, type Rule } from '../step.ts'
import type { ContextState, Laws } from '../world.ts'
import { isFailed } from './handler.ts'
import { sendNext } from './statement.ts'
import { use } from './use.ts'

/** The work writes, and goes on without awaiting that: a second statement of its context, at once with the first. */
export const workWritesBeside: Rule = (world, number, laws) => {
  const context = world.contexts[number]!
  const { work, beside, position, rows, savepoint, isGone } = context
  if (!laws.plan.can.has('parallel') || work !== 'running' || beside !== 'none' || rows !== 'none') return []
  if (position.ending !== undefined || isFailed(context) || (isGone && position.state === 'unused')) return [] // it is refused at once
  const writes = (name: string, isInside: boolean): ReturnType<typeof step> => step(world, number, name, {}, context => startBeside(context, isInside, laws))
  const steps = [writes('writes, and does not await that', savepoint === 'open')]
  return savepoint === 'open' ? [...steps, writes('writes beside the savepoint, and does not await that', false)] : steps
}

function startBeside (context: ContextState, isInside: boolean, laws: Laws): void {
  use(context)
  context.beside = 'waits'
  context.isBesideInside = isInside
  if (context.transaction === 'none') context.transaction = 'wanted'
  sendNext(context, laws)
}

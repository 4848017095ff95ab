import { isInUse } from '../position.ts'
import { step, type Rule } from '../step.ts'
import type { ContextState, Laws } from '../world.ts'
import { isFailed } from './handler.ts'
import { areInTheWay } from './rows.ts'
import { ask } from './statement.ts'
import { isRolledBack, use } from './use.ts'

/** The work enters an `em.transactional()`, and leaves it: by returning, or by an error, which may be caught around it. */
export const workUsesSavepoint: Rule = (world, number, laws) => {
  const context = world.contexts[number]!
  const { work, savepoint, inside, position, isGone } = context
  if (work !== 'running' || !laws.plan.can.has('savepoints')) return []
  switch (savepoint) {
    case 'none': {
      if (inside !== 'none' || context.beside === 'sent') return []
      const isOpen = position.ending === undefined && !(isGone && position.state === 'unused')
      if (!isOpen || isFailed(context) || areInTheWay(context, laws)) return [step(world, number, 'enters no savepoint', { sight: 'savepoint fails' }, use)]
      return [step(world, number, 'enters a savepoint', {}, context => {
        use(context)
        ask(context, 'savepoint', laws)
      })]
    }
    case 'open': return [
      isRolledBack(context) // MikroORM has nothing to release then
        ? step(world, number, 'returns from a savepoint of what is rolled back', { sight: 'savepoint is released' }, context => { context.savepoint = 'none' })
        : step(world, number, 'returns from a savepoint', {}, context => leave(context, 'release', laws)),
      step(world, number, 'throws in a savepoint', {}, context => leave(context, 'go back', laws))
    ]
    case 'taken back': {
      if (!isInUse(position) || isFailed(context) || areInTheWay(context, laws)) return []
      return [step(world, number, 'writes from a savepoint that was gone back to', {}, context => ask(context, 'late', laws))]
    }
  }
}

/** Nothing is released beside rows that are still read in it; what goes back cuts them. */
function leave (context: ContextState, asks: 'release' | 'go back', laws: Laws): void {
  const isRead = context.rows === 'in transaction'
  if (isRead && laws.faults.has('rows keep a savepoint from being gone back to')) context.savepoint = 'taken back'
  else ask(context, isRead ? 'go back' : asks, laws)
}

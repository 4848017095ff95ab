import type { Invariant } from './faults.ts'
import { isOver } from './position.ts'
import { hasUncommitted } from './rules/use.ts'
import type { Step } from './step.ts'
import type { Plan, World } from './world.ts'

/** What must be so in every world, and of every step. Each gives what is wrong, if anything is. */

export interface Violation {
  invariant: Invariant
  what: string
}

export function findInWorld ({ free, contexts }: World, { pool }: Plan): Violation[] {
  const violations: Violation[] = []
  const check = (isSo: boolean, invariant: Invariant, what: string): void => { if (!isSo) violations.push({ invariant, what }) }
  const held = contexts.reduce((sum, { holds, rows }) => sum + holds + Number(rows === 'outside'), 0)
  check(free >= 0 && free + held === pool, 'connections', `${free} are free and ${held} are held, of ${pool}`)
  for (const context of contexts) {
    const { transaction, holds, told, hasLost, kept, commit, isByHand, position, isSent, beside, savepoint, inside, isHijacked } = context
    const needed = Number(transaction !== 'none' && transaction !== 'wanted')
    check(holds === needed, 'connections', `a transaction that is ${transaction} holds ${holds}`)
    check(needed === 0 || position.state !== 'released', 'connections', 'a context is released, and holds one')
    check(told !== 'success' || !(hasUncommitted(context) || hasLost || commit !== 'none' || beside !== 'none'), 'what was told is so', 'a success was told, and something is not committed')
    check(told !== 'failure' || !(kept > 0 || (commit === 'sent' && !isByHand)), 'what was told is so', 'a failure was told, and something is or may be committed')
    check(told !== 'success' || savepoint !== 'open', 'what was told is so', 'a success was told, and half of an em.transactional() is committed')
    check(savepoint !== 'taken back' || inside !== 'kept', 'what was told is so', 'an em.transactional() was told to be taken back, and is committed')
    check(!isHijacked || kept === 0, 'what was told is so', 'of a hijacked reply, something is committed that its work has not')
    const sent = [isSent, beside === 'sent', commit === 'sent']
    check(sent.filter(Boolean).length <= 1, 'one at a time', 'two statements are sent at once')
    check(transaction !== 'none' || !(isSent || beside === 'sent'), 'one at a time', 'the transaction has ended, and a statement is running in it')
    check(kept <= 1, 'work is done once', 'the same work was committed twice')
  }
  return violations
}

export function findInStep (before: World, { context: number, sight, next }: Step): Violation | undefined {
  const [context, after] = [before.contexts[number]!, next.contexts[number]!]
  const [was, is] = [context.position, after.position]
  if (sight === 'runs again') {
    return context.kept + context.keptByHand === 0 ? undefined : { invariant: 'work is done once', what: 'work is run again of which something is committed' }
  }
  if (was.ending !== undefined && was.ending !== is.ending) return { invariant: 'one outcome', what: `it was ended by ${was.ending}, and then by ${is.ending}` }
  if (was.outcome !== undefined && was.outcome !== is.outcome) return { invariant: 'one outcome', what: `it was ${was.outcome}, and then ${is.outcome}` }
  if (sight !== 'afterCommit' && sight !== 'afterRollback' && sight !== 'beforeCommit') return undefined
  const isTrue = sight === 'afterCommit'
    ? !hasUncommitted(context) && !context.hasLost && context.commit === 'none'
    : sight === 'beforeCommit' || context.kept + context.keptByHand === context.keptBeforeHooks
  if (!isTrue) return { invariant: 'hooks', what: `${sight} is run, which is not so` }
  return undefined
}

/** Of a world from which no way leads to its end. */
export function whyStuck ({ contexts }: World): Violation {
  return contexts.some(({ transaction }) => transaction === 'wanted') || contexts.some(({ rollback }) => rollback === 'wanted')
    ? { invariant: 'no wait in a circle', what: 'somebody waits for ever for a connection' }
    : { invariant: 'everything ends', what: 'something is left to be done, and nobody does it' }
}

/** Nothing is left to be done. */
export function isFinished ({ contexts }: World): boolean {
  return contexts.every(({ work, transaction, after, isGone, position, commit, rollback, beside, rows }) => work === 'unborn' || (
    work === 'done' && transaction === 'none' && commit === 'none' && rollback === 'none' && beside === 'none' && rows === 'none' && isGone && (after === 'none' || after === 'finished') &&
    isOver(position) && (position.state !== 'settled' || position.outcome === 'untouched')
  ))
}

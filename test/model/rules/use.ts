import { advance } from '../position.ts'
import type { ContextState } from '../world.ts'

/** A database is used. If the client has left before the first use, that ends the context. */
export function use (context: ContextState): void {
  if (context.isGone && context.position.state === 'unused') {
    context.position = advance(context.position, 'skip', 'abort')
    close(context)
  }
  context.position = advance(context.position, 'use')
}

/** Nobody reads from the context any more. */
export function close (context: ContextState): void {
  context.position = advance(context.position, 'close')
}

/** The connection of the transaction goes back to the pool, if there is one. What is not committed is gone, and rows that are read there are cut. */
export function giveBack (context: ContextState, world: { free: number }): void {
  world.free += context.holds
  context.holds = 0
  context.transaction = 'none'
  context.hasWritten = false
  if (context.inside !== 'kept') context.inside = 'none'
  if (context.rows === 'in transaction') context.rows = 'none'
}

/** Something would be lost without a commit. */
export function hasUncommitted ({ hasWritten, inside }: ContextState): boolean {
  return hasWritten || inside === 'written' || inside === 'released'
}

/** Nothing is accepted any more, nor sent of what waits. */
export function isRolledBack ({ position }: ContextState): boolean {
  return position.outcome === 'rolledBack'
}

/** A commit or a rollback by hand takes the hooks with it, to run them before the work goes on. */
export function takeHooks (context: ContextState, kind: 'afterCommit' | 'afterRollback'): void {
  context.handHooks = context.hooks === 'none' ? 'taken' : kind
  context.hooks = 'none'
}

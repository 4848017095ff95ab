import { FST_ORM_TRANSACTION_OPEN } from '../errors.ts'
import { AsyncNesting } from '../util/async-nesting.ts'
import { hooksOfIndependentTransaction } from './independent-hooks.ts'

/** What may not be committed or rolled back at the moment, because something inside it has not ended. */

/** The contexts whose `atomic()` the caller runs in. */
export const runningAtomic: AsyncNesting<object> = new AsyncNesting()

interface Scopes {
  readonly owner: { readonly name: string }
  readonly turns: { readonly isCallers: boolean }
  readonly atomics: { readonly isLocked: boolean }
  readonly all: ReadonlyArray<{ readonly transaction: { readonly savepoints: { readonly isEmpty: boolean, readonly hasOneBeside: boolean } } }>
}

/** Whoever ends the transaction from within, or from beside, an `em.transactional()` or `atomic()` ends that as well. */
export function assertCanSettle (scopes: Scopes, what: string): void {
  assertNotSettling(scopes, what)
  if (hooksOfIndependentTransaction(scopes.owner) !== undefined) refuse(scopes, what, 'a transaction from within another one')
  if (scopes.atomics.isLocked) refuse(scopes, what, 'atomic(), which has not returned')
  assertNoSavepoint(scopes, what)
}

export function assertNoSavepoint (scopes: Scopes, what: string): void {
  if (scopes.all.some(({ transaction }) => !transaction.savepoints.isEmpty)) refuse(scopes, what, 'em.transactional(), which has not returned')
}

/** A hook before the commit would wait for itself. */
export function assertNotSettling (scopes: Scopes, what: string): void {
  if (scopes.turns.isCallers) refuse(scopes, what, 'the commit that it is called in')
}

/** For the last commit: nothing is committed in half. (A reply from inside commits what there is so far.) */
export function assertComplete (scopes: Scopes): void {
  const what = 'the reply or return'
  if (scopes.atomics.isLocked && !runningAtomic.has(scopes.owner)) refuse(scopes, what, 'atomic(), which nobody has awaited')
  if (scopes.all.some(({ transaction }) => transaction.savepoints.hasOneBeside)) refuse(scopes, what, 'em.transactional(), which nobody has awaited')
}

function refuse ({ owner }: Scopes, what: string, transaction: string): never {
  throw new FST_ORM_TRANSACTION_OPEN(owner.name, `${what} would end ${transaction}`, 'Return from it, which commits, or throw, which rolls back; give parallel work a context of its own: runInContext()')
}

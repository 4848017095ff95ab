import type { EntityManager } from '@mikro-orm/core'
import type { Attempts } from './attempts.ts'
import { SettledByHand } from './settling-by-hand.ts'

/** What attempts want to know of their contexts, and have done to them. */
export abstract class AttemptedContext extends SettledByHand {
  abstract get parent (): AttemptedContext | undefined

  /** Something was committed that was written in it or inside it. */
  noteCommit (): void {
    for (let context: AttemptedContext | undefined = this; context !== undefined; context = context.parent) context.attempts?.noteCommit()
  }

  /** Is inside of work that has `retry`: that is run again as a whole. */
  get isWithinAttempt (): boolean {
    for (let context: AttemptedContext | undefined = this; context !== undefined; context = context.parent) if (context.attempts !== undefined) return true
    return false
  }

  /** A commit was sent whose answer has not come: it may be done. */
  get isInDoubt (): boolean {
    return this.scopes?.all.some(scope => scope.transaction.isInDoubt) === true
  }

  /** Refuses reads as well from now on. */
  refuseAll (): void {
    for (const scope of this.scopes?.all ?? []) scope.refuseWrites({ reads: false })
  }

  get entityManagers (): EntityManager[] {
    return this.scopes?.all.map(scope => scope.em) ?? []
  }

  /** Is a failed attempt of these, or inside of one. */
  isBefore (attempts: Attempts): boolean {
    if (this.attempts !== attempts) return this.parent?.isBefore(attempts) === true
    return !attempts.isEnded && !attempts.isCurrent(this)
  }

  /** Its EntityManagers and those around it, that of an `em.transactional()` which the caller runs in included. */
  get entityManagersAround (): EntityManager[] {
    const own = this.entityManagers.flatMap(em => [em, em.getContext(false)])
    return [...new Set(own), ...this.parent?.entityManagersAround ?? []]
  }
}

import type { DatabaseScope } from './database-scope.ts'
import type { DatabaseScopes } from './database-scopes.ts'
import { SettlingContext } from './settling-context.ts'
import { assertCanSettle } from './settling-rules.ts'

/** A context that its user commits and rolls back as well, and then goes on with. */
export abstract class SettledByHand extends SettlingContext {
  /** Commits by hand, for all databases or one, and goes on. */
  async commitNow (what: string, scope?: DatabaseScope): Promise<void> {
    await this.#scopesToSettle(what).commitNow(scope && [scope])
  }

  /** Rolls back by hand, for all databases or one, and goes on. */
  async rollbackNow (what: string, scope?: DatabaseScope): Promise<void> {
    if (this.outcome === 'rolledBack') return // a `catch` that takes back what an abort or a timeout already has
    await this.#scopesToSettle(what).rollbackNow(scope && [scope])
  }

  protected get isSettledByCaller (): boolean {
    return this.scopes?.turns.isCallers === true
  }

  #scopesToSettle (what: string): DatabaseScopes {
    const scopes = this.use(what)
    this.assertOpen(what)
    assertCanSettle(scopes, what)
    return scopes
  }
}

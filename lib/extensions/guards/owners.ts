import type { EntityManager } from '@mikro-orm/core'
import { em, type ContextOrmChannels, type ContextView, type DatabaseName, type StatementEvent } from '../../../index.ts'
import { listen } from '../../util/listen.ts'
import { currentView } from './findings.ts'

/** Which EntityManager is of which context, and which contexts have ended. What a user has forked himself is of none. */
export class Owners {
  readonly #of = new WeakMap<EntityManager, ContextView>()
  readonly #settled = new WeakSet<ContextView>()

  start (): () => void {
    // whatever loads or writes entities sends statements
    const onStatement = ({ context, database }: StatementEvent): void => {
      if (context === currentView() && !this.hasEnded(context)) this.#of.set(em(database as DatabaseName), context)
    }
    const onSettled = (): void => {
      const view = currentView()
      if (view?.state === 'settling') this.#settled.add(view)
    }
    return listen<ContextOrmChannels>({ 'fastify-context-orm:statement': onStatement, 'fastify-context-orm:settled': onSettled })
  }

  /** Of one that has sent something. */
  of (manager: EntityManager | undefined): ContextView | undefined {
    return manager && this.#of.get(manager)
  }

  /** Nothing is flushed in it any more: it ends as soon as its hooks after the commit have run. */
  hasEnded (view: ContextView): boolean {
    return view.state === 'ended' || this.#settled.has(view)
  }

  /** Whether it is the one that `em()` gives in the context of the caller. */
  isCallers (manager: EntityManager): boolean {
    try {
      return em(manager.name as DatabaseName) === manager
    } catch {
      return false // of a database that the context does not have
    }
  }
}

import type { EntityManager } from '@mikro-orm/core'

/** Entities and collections that a flush would write. */
export function hasPendingChanges (em: EntityManager): boolean {
  const changes = em.getUnitOfWork()
  changes.computeChangeSets()
  return changes.getChangeSets().length + changes.getRemoveStack().size +
    changes.getCollectionUpdates().length + changes.getExtraUpdates().size > 0
}

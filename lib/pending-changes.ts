import type { EntityManager } from '@mikro-orm/core'

/** Entities and collections that a flush would look at or write. */
export function hasPendingChanges (em: EntityManager): boolean {
  const changes = em.getUnitOfWork()
  if (changes.getPersistStack().size + changes.getRemoveStack().size > 0) return true // before what takes long
  changes.computeChangeSets()
  return changes.getChangeSets().length + changes.getRemoveStack().size +
    changes.getCollectionUpdates().length + changes.getExtraUpdates().size > 0
}

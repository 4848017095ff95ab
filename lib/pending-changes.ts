import type { EntityManager } from '@mikro-orm/core'

/** Entities and collections that a flush would write. */
export function hasPendingChanges (em: EntityManager): boolean {
  const changes = em.getUnitOfWork()
  changes.computeChangeSets()
  return changes.getChangeSets().length + changes.getRemoveStack().size +
    changes.getCollectionUpdates().length + changes.getExtraUpdates().size > 0
}

/** A flush would do nothing, for certain: somebody who listens to it may change what is flushed. */
export function isClean (em: EntityManager): boolean {
  const changes = em.getUnitOfWork()
  return em.getEventManager().getSubscribers().size === 0 &&
    changes.getPersistStack().size + changes.getRemoveStack().size === 0 && // before what takes longer
    !hasPendingChanges(em)
}

import { EntityManager, Reference, Utils, wrap } from '@mikro-orm/core'

/**
 * Whether a flush has something to write, or may do something else: an app's own EntityManager has its own ideas. A flush of
 * MikroORM 7.2.1 that finds nothing takes a dozen promises and tells subscribers of it, and a context has three of them:
 * before the payload is serialised, before the reply and before the commit.
 */
export function needsFlush (em: EntityManager): boolean {
  return Object.getPrototypeOf(em).flush !== EntityManager.prototype.flush || hasPendingChanges(em)
}

/** Somebody hears of flushes, and may change something in one. */
export function hasFlushSubscribers (em: EntityManager): boolean {
  for (const subscriber of em.getEventManager().getSubscribers()) {
    if (subscriber.beforeFlush ?? subscriber.onFlush ?? subscriber.afterFlush) return true
  }
  return false
}

/**
 * What MikroORM's own `computeChangeSets()` would find, without its side effects (7.2.1 calls `onUpdate`, and takes the
 * values of unique columns away). It has to be right where it says no, since nothing is flushed then: whatever it does
 * not know is a change, and so is a value that cannot be converted, about which a flush has words of its own.
 */
export function hasPendingChanges (em: EntityManager): boolean {
  try {
    return findPendingChanges(em)
  } catch {
    return true
  }
}

function findPendingChanges (em: EntityManager): boolean {
  const unitOfWork = em.getUnitOfWork(false)
  if (unitOfWork.getRemoveStack().size > 0 || unitOfWork.getOrphanRemoveStack().size > 0) return true
  const toPersist = unitOfWork.getPersistStack() // new entities, and also the items of a collection that was loaded
  for (const entity of toPersist) if (isNew(entity)) return true

  const managed = unitOfWork.getIdentityMap().values()
  let all: Set<unknown> | undefined
  const isUnmanaged = (entity: unknown): boolean => !(all ??= new Set(managed)).has(entity)
  for (const entity of toPersist) if (isUnmanaged(entity)) return true
  if (managed.length === 0) return false
  const comparator = em.getComparator()
  return managed.some(entity => hasChanged(comparator, isUnmanaged, entity))
}

function isNew (entity: object): boolean {
  return wrap(entity, true).__originalEntityData === undefined
}

type Comparator = ReturnType<EntityManager['getComparator']>
type Test = (entity: unknown) => boolean

/** Itself, or a relation, or something that is not looked at otherwise and that it leads to. */
function hasChanged (comparator: Comparator, isUnmanaged: Test, entity: object): boolean {
  const { __meta: meta, __originalEntityData: original } = wrap(entity, true)
  if (original === undefined || !comparator.matching(meta.class, original, comparator.prepareEntity(entity))) return true
  for (const prop of meta.relations) {
    if (prop.mapToPk === true) continue
    for (const [value] of Utils.unwrapProperty(entity, meta, prop)) {
      const target = Reference.unwrapReference(value as object)
      if (Utils.isCollection(target) ? target.isDirty() || target.getItems(false).some(isUnmanaged) : isUnmanaged(target)) return true
    }
  }
  return false
}

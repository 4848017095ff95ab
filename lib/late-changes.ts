import { UnitOfWork, type AnyEntity, type EntityManager } from '@mikro-orm/core'

/**
 * What is created or removed while a flush is on its way. MikroORM 7.2 empties the lists of both when a flush has ended,
 * whether the flush knew of what is in them or not: whoever did not flush after that would lose it, and nobody would know.
 */

const SEEN = Symbol('fastify-context-orm.seen')
const COUNTER = Symbol('fastify-context-orm.counter')

/** Counts the flushes that have something to write. */
export interface FlushCounter {
  flushes: number
}

/** What the flush has found in each list. */
interface Seen {
  readonly persisted: ReadonlySet<AnyEntity>
  readonly removed: ReadonlySet<AnyEntity>
  readonly orphans: ReadonlySet<AnyEntity>
}

/** MikroORM's, with a method that it does not publish. */
interface Internals extends Omit<UnitOfWork, 'postCommitCleanup'> {
  [SEEN]?: Seen | undefined
  [COUNTER]: FlushCounter
  postCommitCleanup (): void
}

const inherited = UnitOfWork.prototype as unknown as Internals

const methods = {
  computeChangeSets (this: Internals): void {
    try {
      inherited.computeChangeSets.call(this)
      if (this.getChangeSets().length > 0 || this.getCollectionUpdates().length > 0 || this.getExtraUpdates().size > 0) this[COUNTER].flushes++
    } finally {
      this[SEEN] = {
        persisted: new Set(this.getPersistStack()), removed: new Set(this.getRemoveStack()), orphans: new Set(this.getOrphanRemoveStack())
      }
    }
  },

  postCommitCleanup (this: Internals): void {
    const seen = this[SEEN]
    this[SEEN] = undefined
    const persisted = lateOnes(this.getPersistStack(), seen?.persisted)
    const removed = lateOnes(this.getRemoveStack(), seen?.removed)
    const orphans = lateOnes(this.getOrphanRemoveStack(), seen?.orphans)
    inherited.postCommitCleanup.call(this)
    for (const entity of persisted) this.persist(entity, undefined, { cascade: false })
    for (const entity of removed) this.remove(entity, undefined, { cascade: false })
    for (const entity of orphans) this.getOrphanRemoveStack().add(entity)
  },

  clear (this: Internals): void {
    this[SEEN] = undefined
    inherited.clear.call(this)
    this[SEEN] = NOTHING // of what comes now, a flush that is still on its way knows nothing
  }
}

/** Keeps what the flushes of that EntityManager do not know of for the next one. */
export function keepLateChanges (em: EntityManager, counter: FlushCounter): void {
  const unitOfWork = Object.assign(em.getUnitOfWork(false), methods) as unknown as Internals
  unitOfWork[COUNTER] = counter
}

function lateOnes (list: ReadonlySet<AnyEntity>, seen: ReadonlySet<AnyEntity> | undefined): AnyEntity[] {
  return seen === undefined || list.size === 0 ? [] : [...list].filter(entity => !seen.has(entity))
}

const NOTHING: Seen = { persisted: new Set(), removed: new Set(), orphans: new Set() }

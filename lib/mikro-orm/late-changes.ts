import { ChangeSetType, Utils, wrap, type AnyEntity, type EntityData, type EntityManager, type UnitOfWork } from '@mikro-orm/core'

/**
 * What is created, removed or changed while a flush is on its way. When the flush has ended, MikroORM 7.2 empties the lists of
 * what is new and what is removed, and takes each entity that it has updated for what the database has, whether the flush knew
 * of it or not: what has come meanwhile would be lost, and nobody would know.
 */

const SEEN = Symbol('fastify-context-orm.seen')
const COUNTER = Symbol('fastify-context-orm.counter')

/** Counts the flushes that have something to write. */
export interface FlushCounter {
  flushCount: number
}

/** What the flush has found in each list, and in each entity that it updates. */
interface Seen {
  readonly updated: ReadonlyMap<AnyEntity, EntityData<AnyEntity>>
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

const methods = {
  computeChangeSets (this: Internals): void {
    keepLateUpdates(this)
    try {
      inherited(this).computeChangeSets.call(this)
      if (this.getChangeSets().length > 0 || this.getCollectionUpdates().length > 0 || this.getExtraUpdates().size > 0) this[COUNTER].flushCount++
    } finally {
      this[SEEN] = {
        updated: preparedUpdates(this),
        persisted: new Set(this.getPersistStack()),
        removed: new Set(this.getRemoveStack()),
        orphans: new Set(this.getOrphanRemoveStack())
      }
    }
  },

  postCommitCleanup (this: Internals): void {
    keepLateUpdates(this)
    const seen = this[SEEN]
    this[SEEN] = undefined
    const persisted = lateOnes(this.getPersistStack(), seen?.persisted)
    const removed = lateOnes(this.getRemoveStack(), seen?.removed)
    const orphans = lateOnes(this.getOrphanRemoveStack(), seen?.orphans)
    inherited(this).postCommitCleanup.call(this)
    for (const entity of persisted) this.persist(entity, undefined, { cascade: false })
    for (const entity of removed) this.remove(entity, undefined, { cascade: false })
    for (const entity of orphans) this.getOrphanRemoveStack().add(entity)
  },

  clear (this: Internals): void {
    this[SEEN] = undefined
    inherited(this).clear.call(this)
    this[SEEN] = NOTHING // of what comes now, a flush that is still on its way knows nothing
  }
}

/** Keeps what the flushes of that EntityManager do not know of for the next one. */
export function keepLateChanges (em: EntityManager, counter: FlushCounter): void {
  const unitOfWork = Object.assign(em.getUnitOfWork(false), methods) as unknown as Internals
  unitOfWork[COUNTER] = counter
}

function inherited (unitOfWork: Internals): Internals {
  return Object.getPrototypeOf(unitOfWork)
}

function lateOnes (list: ReadonlySet<AnyEntity>, seen: ReadonlySet<AnyEntity> | undefined): AnyEntity[] {
  return seen === undefined || list.size === 0 ? [] : [...list].filter(entity => !seen.has(entity))
}

/** The entities that are to be updated, as they are now. */
function preparedUpdates (unitOfWork: Internals): Map<AnyEntity, EntityData<AnyEntity>> {
  const updates = unitOfWork.getChangeSets().filter(({ type }) => type === ChangeSetType.UPDATE || type === ChangeSetType.UPDATE_EARLY)
  if (updates.length === 0) return NO_UPDATES
  return new Map(updates.map(({ entity }) => [entity, wrap(entity, true).__em!.getComparator().prepareEntity(entity)]))
}

/** Lets MikroORM see, as a change, what is no longer as it was when the flush has looked at it. */
function keepLateUpdates (unitOfWork: Internals): void {
  const { updated } = unitOfWork[SEEN] ?? NOTHING
  if (updated.size === 0) return
  for (const { entity, payload, originalEntity } of unitOfWork.getChangeSets()) {
    const before = updated.get(entity)
    const { __originalEntityData: after, __meta: meta } = wrap(entity, true)
    if (before === undefined || after === undefined || after === originalEntity) continue // it has not come so far
    for (const key of Object.keys(before)) {
      const prop = meta.properties[key]
      const isOfDatabase = prop === undefined || prop.version === true || prop.generated !== undefined || prop.returning === true
      if (isOfDatabase || Utils.equals(before[key], after[key])) continue
      if (!(key in payload && Utils.equals(payload[key], after[key]))) after[key] = before[key] // or a hook has changed it, and it was sent
    }
  }
}

const NO_UPDATES = new Map<AnyEntity, EntityData<AnyEntity>>()

const NOTHING: Seen = { updated: NO_UPDATES, persisted: new Set(), removed: new Set(), orphans: new Set() }

import { Utils, wrap, type AnyEntity, type EntityData, type EntityManager } from '@mikro-orm/core'

type Comparator = ReturnType<EntityManager['getComparator']>

/**
 * Remembers the entities of an EntityManager as they are at one moment, and finds one that has changed since. Those that are loaded
 * later are compared with what the database had.
 */
export class EntityWatch {
  readonly #em: EntityManager
  readonly #before = new Map<AnyEntity, EntityData<AnyEntity>>()
  /** Collections that had changes already, new entities and removed ones. */
  readonly #known: ReadonlySet<unknown>

  constructor (em: EntityManager) {
    this.#em = em
    const comparator = em.getComparator()
    const entities = managed(em)
    for (const entity of entities) this.#before.set(entity, comparator.prepareEntity(entity))
    this.#known = new Set([...queued(em), ...entities.flatMap(dirtyCollections)])
  }

  /** One that has changed since, such as `Book 1`; `undefined` if there is none. */
  findChanged (): string | undefined {
    const added = queued(this.#em).find(entity => !this.#known.has(entity))
    if (added !== undefined) return nameOf(added)
    const comparator = this.#em.getComparator()
    for (const entity of new Set([...this.#before.keys(), ...managed(this.#em)])) {
      if (this.#hasChanged(comparator, entity) || dirtyCollections(entity).some(collection => !this.#known.has(collection))) return nameOf(entity)
    }
    return undefined
  }

  #hasChanged (comparator: Comparator, entity: AnyEntity): boolean {
    const { __meta: meta, __originalEntityData: original } = wrap(entity, true)
    const before = this.#before.get(entity) ?? original
    return before !== undefined && !comparator.matching(meta.class, before, comparator.prepareEntity(entity))
  }
}

function managed (em: EntityManager): AnyEntity[] {
  return em.getUnitOfWork(false).getIdentityMap().values()
}

/** What the next flush would insert or delete. */
function queued (em: EntityManager): AnyEntity[] {
  const unitOfWork = em.getUnitOfWork(false)
  return [...unitOfWork.getPersistStack(), ...unitOfWork.getRemoveStack(), ...unitOfWork.getOrphanRemoveStack()]
}

function dirtyCollections (entity: AnyEntity): unknown[] {
  return wrap(entity, true).__meta.relations.map(({ name }) => entity[name]).filter(value => Utils.isCollection(value) && value.isDirty())
}

function nameOf (entity: AnyEntity): string {
  const wrapped = wrap(entity, true)
  const key = wrapped.hasPrimaryKey() ? ` ${String(wrapped.getSerializedPrimaryKey())}` : ''
  return `${wrapped.__meta.className}${key}`
}

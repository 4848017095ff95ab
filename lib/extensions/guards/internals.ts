import { EntityManager, Reference, Utils, wrap, type AnyEntity } from '@mikro-orm/core'
import { FST_ORM_UNSUPPORTED } from '../../errors.ts'

/**
 * MikroORM 7.2 has no event for an entity that is persisted or removed, and none of its listeners is told who calls: that has to be seen
 * where it is called. `em.create()` and repositories call `em.persist()`.
 */

/** Called before MikroORM's own; what it throws, the caller gets. */
export type OnEntities = (em: EntityManager, method: 'persist' | 'remove', entities: readonly AnyEntity[]) => void

type Method = (this: EntityManager, entities: unknown) => unknown
type Prototype = Record<'persist' | 'remove', Method>

const listeners = new Set<OnEntities>()
let restore: (() => void) | undefined

/** Calls `listener` for all EntityManagers of the process, until the function that it returns is called. Throws `FST_ORM_UNSUPPORTED`. */
export function watchEntities (listener: OnEntities, prototype: object = EntityManager.prototype): () => void {
  assertWatchable(prototype)
  listeners.add(listener)
  restore ??= replace(prototype)
  return () => {
    if (!listeners.delete(listener) || listeners.size > 0) return
    restore!()
    restore = undefined
  }
}

/** The EntityManager that has loaded an entity, or has inserted it. */
export function managerOf (entity: AnyEntity): EntityManager | undefined {
  return wrap(entity, true).__em as EntityManager | undefined
}

/** Those that an entity refers to, as far as that is known without asking the database. */
export function relationsOf (entity: AnyEntity): AnyEntity[] {
  return wrap(entity, true).__meta.relations.flatMap(({ name }) => {
    const value = entity[name] as unknown
    if (Utils.isCollection(value)) return value.getItems(false) as AnyEntity[]
    return Utils.isEntity(value, true) ? [Reference.unwrapReference(value as AnyEntity)] : []
  })
}

/** Such as `Book 1`. */
export function describeEntity (entity: AnyEntity): string {
  const wrapped = wrap(entity, true)
  const name = wrapped.__meta.className
  return wrapped.hasPrimaryKey() ? `${name} ${String(wrapped.getSerializedPrimaryKey())}` : `a new ${name}`
}

function assertWatchable (prototype: object): asserts prototype is Prototype {
  for (const method of ['persist', 'remove'] as const) {
    if (typeof (prototype as Partial<Prototype>)[method] !== 'function') throw new FST_ORM_UNSUPPORTED(`EntityManager.${method}()`, '@mikro-orm/core')
  }
}

function replace (prototype: Prototype): () => void {
  const { persist, remove } = prototype
  const replaced = { persist: watched('persist', persist), remove: watched('remove', remove) }
  Object.assign(prototype, replaced)
  return () => {
    // somebody else may have replaced them since
    if (prototype.persist === replaced.persist) prototype.persist = persist
    if (prototype.remove === replaced.remove) prototype.remove = remove
  }
}

function watched (method: 'persist' | 'remove', original: Method): Method {
  return function (this: EntityManager, entities: unknown): unknown {
    if (listeners.size > 0) {
      const em = this.getContext(false)
      const all = Utils.asArray(entities).filter(entity => Utils.isEntity(entity, true)).map(entity => Reference.unwrapReference(entity as AnyEntity))
      for (const listener of listeners) listener(em, method, all)
    }
    return Reflect.apply(original, this, [entities])
  }
}

import type { MikroORM } from '@mikro-orm/core'

/** Where contexts get the MikroORM of a database from: it is the same one always, or one that changes. */
export interface OrmSource {
  /** The `contextName` of its MikroORMs. */
  readonly name: string
  /** The present one. */
  readonly orm: MikroORM
  /** Whether it is the present one, or one that was before and is still in use. */
  has (orm: MikroORM): boolean
  /** The present one, for a unit of work that uses it until it calls `leave()`. */
  enter (): MikroORM
  leave (orm: MikroORM): void
  /** Awaited before a context is opened. */
  beforeContext?: (() => unknown) | undefined
  close (): Promise<void>
}

/** What is passed for a MikroORM and is none. */
const sources = new WeakMap<object, OrmSource>()

export function registerSource (handle: object, source: OrmSource): void {
  sources.set(handle, source)
}

/** Whether it can be passed as `orm`. */
export function isOrm (value: any): boolean {
  return isSqlOrm(value) || sources.has(value)
}

/** By what it does, not by its class: a second copy of MikroORM in the tree must not matter. */
export function isSqlOrm (value: any): value is MikroORM {
  return typeof value?.em?.fork === 'function' && typeof value.config?.get === 'function' &&
    typeof value.driver?.getConnection?.()?.getClient === 'function'
}

export function sourceOf (orm: object): OrmSource {
  return sources.get(orm) ?? sourceOfOne(orm as MikroORM)
}

function sourceOfOne (orm: MikroORM): OrmSource {
  return {
    name: orm.config.get('contextName'),
    orm,
    has: other => other === orm,
    enter: () => orm,
    leave () {},
    close: () => orm.close()
  }
}

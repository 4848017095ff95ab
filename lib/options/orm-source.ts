import type { MikroORM } from '@mikro-orm/core'
import { FST_ORM_BAD_OPTION } from '../errors.ts'

/** Where contexts get the MikroORM of a database from: it is the same one always, or one that changes. */
export interface OrmSource {
  /** The `contextName` of its MikroORMs. */
  readonly name: string
  /** The present one. */
  readonly orm: MikroORM
  /** Whether it is the present one, or one that was before and is still in use. */
  has (orm: MikroORM): boolean
  /** The present one, for a scope that uses it until it calls `release()`. */
  retain (): MikroORM
  release (orm: MikroORM): void
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

/** The sources of databases that are used together. `where` is who takes them. Throws `FST_ORM_BAD_OPTION`. */
export function sourcesOf (where: string, orms: readonly object[]): OrmSource[] {
  const sources = orms.map(sourceOf)
  const names = new Set<string>()
  for (const { name, orm } of sources) {
    if (names.has(name)) throw new FST_ORM_BAD_OPTION(where, 'orm', 'MikroORMs that differ in their contextName', `two that are called "${name}"`)
    names.add(name)
    assertTransactions(where, 'orm', orm)
  }
  return sources
}

/** Without them, `em.transactional()` makes no savepoint: what fails inside and is caught would be committed. */
export function assertTransactions (where: string, option: string, orm: MikroORM): void {
  if (orm.config.get('disableTransactions') !== true) return
  throw new FST_ORM_BAD_OPTION(where, option, 'MikroORMs that have transactions',
    'one with disableTransactions: true. Remove that: a route or a runInContext() that wants no transaction says transaction: false')
}

export function sourceOf (orm: object): OrmSource {
  return sources.get(orm) ?? sourceOfOne(orm as MikroORM)
}

function sourceOfOne (orm: MikroORM): OrmSource {
  return {
    name: orm.config.get('contextName'),
    orm,
    has: other => other === orm,
    retain: () => orm,
    release () {},
    close: () => orm.close()
  }
}

import type { MikroORM } from '@mikro-orm/core'
import { resolveInContexts } from './context-resolution.ts'
import { FST_ORM_BAD_OPTION, FST_ORM_UNKNOWN_DATABASE } from './errors.ts'
import { isOrms, ORM_OPTION, PLUGIN, show, type ContextOrmOptions } from './options.ts'

/** The databases of an app: opened, found by name and closed. */
export class Databases {
  readonly all: readonly MikroORM[]
  readonly #byName = new Map<string, MikroORM>()
  readonly #unresolve: (() => void)[]
  readonly #unfinished = new Set<Promise<unknown>>()
  readonly #isOwner: boolean

  private constructor (orms: readonly MikroORM[], isOwner: boolean) {
    for (const orm of orms) {
      const name = orm.config.get('contextName')
      if (this.#byName.has(name)) {
        throw new FST_ORM_BAD_OPTION(PLUGIN, 'orm', 'MikroORMs that differ in their contextName', `two that are called "${name}"`)
      }
      this.#byName.set(name, orm)
    }
    this.all = orms
    this.#isOwner = isOwner
    this.#unresolve = orms.map(resolveInContexts)
  }

  /** Resolves the option `orm`. What a function makes is the app's to close, also if it is refused. */
  static async open (option: ContextOrmOptions['orm']): Promise<Databases> {
    const isOwner = typeof option === 'function'
    const opened = await (isOwner ? option() : option)
    if (!isOrms(opened)) {
      throw new FST_ORM_BAD_OPTION(PLUGIN, 'orm', ORM_OPTION, `a function or promise that gave ${show(opened)}`)
    }
    const orms: readonly MikroORM[] = Array.isArray(opened) ? opened : [opened]
    try {
      return new Databases(orms, isOwner)
    } catch (error) {
      if (isOwner) await closeAll(orms)
      throw error
    }
  }

  /** The one of that name, by default the first; throws `FST_ORM_UNKNOWN_DATABASE`. */
  get (name?: string): MikroORM {
    const orm = name === undefined ? this.all[0] : this.#byName.get(name)
    if (orm !== undefined) return orm
    throw new FST_ORM_UNKNOWN_DATABASE(String(name), [...this.#byName.keys()].map(name => `"${name}"`).join(', '))
  }

  has (orm: MikroORM): boolean {
    return this.all.includes(orm)
  }

  /** Work that a context has left behind, and that must be done before the databases close, be it in vain. */
  addUnfinished (work: Promise<unknown>): void {
    this.#unfinished.add(work)
    const forget = (): void => { this.#unfinished.delete(work) }
    work.then(forget, forget)
  }

  /** Closes what a function made, and leaves what was passed in as it was. */
  async close (): Promise<void> {
    await Promise.allSettled(this.#unfinished)
    for (const unresolve of this.#unresolve) unresolve()
    if (this.#isOwner) await closeAll(this.all)
  }
}

async function closeAll (orms: readonly MikroORM[]): Promise<void> {
  await Promise.all(orms.map(orm => orm.close()))
}

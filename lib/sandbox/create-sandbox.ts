import type { EntityManager } from '@mikro-orm/core'
import { FST_ORM_BAD_OPTION } from '../errors.ts'
import { isOrms } from '../options/checks.ts'
import type { Orms } from '../options/options.ts'
import { show } from '../util/show.ts'
import { sourcesOf } from '../options/orm-source.ts'
import { Sandbox } from './sandbox.ts'
import type { EntityManagerOfFirst } from '../options/types.ts'

/** What `createSandbox()` makes: a transaction on each of its databases, which is rolled back in the end. */
export interface TestSandbox<Em = EntityManager> {
  /**
   * An EntityManager in the sandbox, of several databases for the first: to arrange what a test needs, and to look at
   * what it has done. What `find()` and its kin find is as it is in the database by then, unless there are changes that are
   * not flushed.
   */
  readonly em: Em
  /** One for each database, by the `contextName` of its MikroORM. */
  readonly ems: Readonly<Record<string, EntityManager>>
  /** For requests over sockets: those that have them belong to the sandbox, if their app was passed to `allowSandboxes()`. */
  readonly headers: Readonly<Record<string, string>>
  /**
   * Flushes `em`, and runs `fn` inside the sandbox: every context that is opened in it belongs to it, and so does
   * everything else that uses its databases. Resolves with what `fn` returned. Throws what `fn` and the flush throw, and
   * `FST_ORM_SANDBOX_ENDED`.
   */
  run<T> (fn: () => T | Promise<T>): Promise<T>
  /**
   * Rolls everything back, and gives the connections back. Throws `FST_ORM_SANDBOX_RUNNING` if contexts of the sandbox
   * were still running; whatever they do from then on fails. Further calls do nothing.
   */
  rollback (): Promise<void>
  [Symbol.asyncDispose] (): Promise<void>
}

/**
 * Takes a connection of each database and begins a transaction there. Contexts that are opened inside `sandbox.run()`
 * work on savepoints of it, and settle as they do otherwise; nobody outside ever sees what they write.
 *
 * Throws `FST_ORM_SANDBOX_TAKEN` if there is no connection to be had (on SQLite there is one sandbox at a time),
 * `FST_ORM_BAD_OPTION`, and what the database throws.
 */
export async function createSandbox<const Databases extends Orms> (orm: Databases): Promise<TestSandbox<EntityManagerOfFirst<Databases>>> {
  if (!isOrms(orm)) throw new FST_ORM_BAD_OPTION('createSandbox()', 'orm', 'a MikroORM with an SQL driver (not its em), or an array of them', show(orm))
  const orms: readonly object[] = Array.isArray(orm) ? orm : [orm]
  const sandbox = await Sandbox.begin(sourcesOf('createSandbox()', orms))
  const { ems, headers } = sandbox
  return {
    em: Object.values(ems)[0] as EntityManagerOfFirst<Databases>,
    ems,
    headers,
    run: fn => sandbox.run(fn),
    rollback: () => sandbox.rollback(),
    [Symbol.asyncDispose]: () => sandbox.rollback()
  }
}

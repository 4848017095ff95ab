import type { EntityManager } from '@mikro-orm/core'
import { FST_ORM_BAD_OPTION } from '../errors.ts'
import { isOrms } from '../options/checks.ts'
import type { Orms } from '../options/options.ts'
import { show } from '../util/show.ts'
import { sourcesOf } from '../options/orm-source.ts'
import { Sandbox } from './sandbox.ts'
import type { StatementEvent } from '../context/events.ts'
import type { EntityManagerOfFirst } from '../options/types.ts'
import type { SandboxContext } from './sandbox-record.ts'

/** What `createSandbox()` makes: a transaction on each of its databases, which is rolled back in the end. */
export interface TestSandbox<Em = EntityManager> {
  /**
   * An EntityManager in the sandbox, to arrange rows and to look at them. With several databases, it is the first one's. `find()` and
   * similar methods read again what was loaded before, unless it has changes that are not flushed.
   */
  readonly em: Em
  /** One for each database, by the `contextName` of its MikroORM. */
  readonly ems: Readonly<Record<string, EntityManager>>
  /** Requests over sockets that have these headers belong to the sandbox, if their app was passed to `allowSandboxes()`. */
  readonly headers: Readonly<Record<string, string>>
  /**
   * The contexts that have used a database in the sandbox, in the order of their first use: how they have ended, what they have run, and which
   * hooks. It grows as they go on, and stays after the rollback.
   */
  readonly contexts: readonly SandboxContext[]
  /** The statements of all of them, in the order of their answers, as on `fastify-context-orm:statement`; not those of `em`. */
  readonly statements: readonly StatementEvent[]
  /**
   * Flushes `em`, and runs `fn` inside the sandbox. Every context that is opened in `fn` belongs to the sandbox, and so does everything
   * else in it that uses the databases. Resolves with what `fn` returned. Throws what `fn` and the flush throw, and
   * `FST_ORM_SANDBOX_ENDED`.
   */
  run<T> (fn: () => T | Promise<T>): Promise<T>
  /**
   * Rolls everything back, and returns the connections to their pools. Throws `FST_ORM_SANDBOX_RUNNING` if contexts of the sandbox
   * were still running; everything that they do later fails. Further calls do nothing.
   */
  rollback (): Promise<void>
  [Symbol.asyncDispose] (): Promise<void>
}

/**
 * Takes a connection of each database and begins a transaction on it. Contexts that are opened inside `sandbox.run()` are savepoints
 * of that transaction, and end as they do in production. Nobody outside ever sees what they write.
 *
 * Throws `FST_ORM_SANDBOX_TAKEN` if no connection becomes free (a database with one connection has one sandbox at a time),
 * `FST_ORM_BAD_OPTION`, and what the database throws.
 */
export async function createSandbox<const Databases extends Orms> (orm: Databases): Promise<TestSandbox<EntityManagerOfFirst<Databases>>> {
  if (!isOrms(orm)) throw new FST_ORM_BAD_OPTION('createSandbox()', 'orm', 'a MikroORM with an SQL driver (not its em), or an array of them', show(orm))
  const orms: readonly object[] = Array.isArray(orm) ? orm : [orm]
  const sandbox = await Sandbox.begin(sourcesOf('createSandbox()', orms))
  const { ems, headers, record: { contexts, statements } } = sandbox
  return {
    em: Object.values(ems)[0] as EntityManagerOfFirst<Databases>,
    ems,
    headers,
    contexts,
    statements,
    run: fn => sandbox.run(fn),
    rollback: () => sandbox.rollback(),
    [Symbol.asyncDispose]: () => sandbox.rollback()
  }
}

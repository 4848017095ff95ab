import type { EntityManager } from '@mikro-orm/core'
import type { AbstractSqlConnection } from '@mikro-orm/sql'
import { AsyncLocalStorage } from 'node:async_hooks'
import { randomUUID } from 'node:crypto'
import { currentContext } from '../context/context.ts'
import { FST_ORM_SANDBOX_DATABASE, FST_ORM_SANDBOX_ENDED, FST_ORM_SANDBOX_REFUSED, FST_ORM_SANDBOX_RUNNING, withCallersLine } from '../errors.ts'
import { Flushes } from '../mikro-orm/flushes.ts'
import type { OrmSource } from '../options/orm-source.ts'
import { Settlement } from '../context/settlement.ts'
import { runningContexts, untilNoneRuns, type RunnableContext } from '../context/running-contexts.ts'
import { patience } from '../util/patience.ts'
import { forkWith } from '../mikro-orm/internals.ts'
import { SandboxOfDatabase } from './sandbox-of-database.ts'
import { SandboxRecord } from './sandbox-record.ts'
import type { SandboxOfContexts, UserOfSandbox } from '../context/sandboxes.ts'

/** The sandbox that the caller runs in. */
const storage = new AsyncLocalStorage<Sandbox>()
const byId = new Map<string, Sandbox>()

/** The header by which a request joins a sandbox. */
export const SANDBOX_HEADER = 'x-orm-sandbox'

/**
 * One test's own view of its databases: everything that is done inside of it is done in one transaction for each, which
 * is rolled back in the end.
 */
export class Sandbox implements SandboxOfContexts {
  /** What happens in its contexts. */
  readonly record: SandboxRecord = new SandboxRecord()
  readonly #id = randomUUID()
  /** A sandbox inside of another one is a savepoint of that. */
  readonly #outer = currentSandbox()
  readonly #sources: OrmSource[]
  readonly #databases: SandboxOfDatabase[] = []
  readonly #flushes = new Flushes()
  #leaving: (() => void)[] = []
  readonly #settlement = new Settlement()
  #ended: Promise<void> | undefined

  private constructor (sources: OrmSource[]) {
    this.#sources = sources
  }

  static async begin (sources: OrmSource[]): Promise<Sandbox> {
    const sandbox = new Sandbox(sources)
    try {
      await sandbox.#begin()
    } catch (error) {
      await sandbox.#endDatabases()
      throw error
    }
    sandbox.#settlement.advance('use')
    byId.set(sandbox.#id, sandbox)
    return sandbox
  }

  static of (id: string): Sandbox | undefined {
    return byId.get(id)
  }

  get ems (): Record<string, EntityManager> {
    return Object.fromEntries(this.#databases.map(({ name, em }) => [name, em]))
  }

  get headers (): Record<string, string> {
    return { [SANDBOX_HEADER]: this.#id }
  }

  /** Runs `callback` inside. */
  runInside<T> (callback: () => T): T {
    return storage.run(this, callback)
  }

  async run<T> (fn: () => T | Promise<T>): Promise<T> {
    if (!this.#settlement.isInUse) throw new FST_ORM_SANDBOX_ENDED('sandbox.run()', 'the sandbox has been rolled back')
    const context = currentContext()
    if (context?.ending === undefined && context !== undefined && context.sandbox === undefined) {
      throw new FST_ORM_SANDBOX_REFUSED('sandbox.run()', `the work of ${context.name}, around it, which is in no sandbox`)
    }
    await this.#flushes.run(async () => {
      for (const { em } of this.#databases) await em.flush()
    })
    // awaited inside: what `app.inject()` returns sets out when it is awaited (light-my-request 6)
    return await this.runInside(async () => await fn())
  }

  fork (em: EntityManager, user: UserOfSandbox): EntityManager {
    this.record.note(user.description)
    return this.#forkOf(em, user.name)
  }

  /** The one that stands for that connection in here, or in the sandbox around. */
  connectionFor (real: AbstractSqlConnection): AbstractSqlConnection | undefined {
    return this.#databases.find(database => database.hasConnection(real))?.contexts.connection ?? this.#outer?.connectionFor(real)
  }

  async rollback (): Promise<void> {
    if (!this.#settlement.advance('rollback', 'close')) return await this.#ended!.catch(() => {}) // who has ended it has been told
    this.#ended = this.#end()
    await this.#ended
  }

  #forkOf (em: EntityManager, who: string): EntityManager {
    const database = this.#databases.find(database => database.isOf(em.getDriver()))
    if (database !== undefined) return forkWith(database.contexts.driver, em)
    if (this.#outer !== undefined) return this.#outer.#forkOf(em, who)
    throw withCallersLine(() => new FST_ORM_SANDBOX_DATABASE(who, em.name, this.#databases.map(({ name }) => `"${name}"`).join(', ')))
  }

  async #begin (): Promise<void> {
    for (const source of this.#sources) {
      const orm = source.retain()
      this.#leaving.push(() => source.release(orm))
      this.#databases.push(await SandboxOfDatabase.begin(orm, real => currentSandbox()?.connectionFor(real)))
    }
  }

  async #end (): Promise<void> {
    byId.delete(this.#id)
    await this.#untilSettled()
    const running = runningContexts(context => context.sandbox === this).map(({ name }) => name)
    await this.#endDatabases()
    if (running.length > 0) throw new FST_ORM_SANDBOX_RUNNING(running.join(', '))
  }

  /** What has come to its end, and only has to finish, is given the time. */
  async #untilSettled (): Promise<void> {
    const isSettling = (context: RunnableContext): boolean => context.sandbox === this && context.ending !== undefined
    const timeout = Promise.withResolvers<void>()
    const timer = setTimeout(timeout.resolve, patience.sandboxEnd)
    await Promise.race([untilNoneRuns(isSettling), timeout.promise])
    clearTimeout(timer)
  }

  async #endDatabases (): Promise<void> {
    const ends = await Promise.allSettled(this.#databases.map(database => database.end()))
    this.record.stop()
    for (const leave of this.#leaving.splice(0)) leave()
    for (const end of ends) if (end.status === 'rejected') throw end.reason
  }
}

export function currentSandbox (): Sandbox | undefined {
  return storage.getStore()
}

import type { MikroORM } from '@mikro-orm/core'
import { keepResolvingInContexts, resolveInContexts } from './context-resolution.ts'
import type { DatabaseSet } from '../context/database-set.ts'
import { untilClientIsMade } from '../drivers/first-use.ts'
import { FST_ORM_BAD_OPTION, FST_ORM_CLOSE_TIMEOUT, FST_ORM_CLOSING, FST_ORM_UNKNOWN_DATABASE } from '../errors.ts'
import { isOrms, ORM_OPTION, PLUGIN, RUN } from '../options/checks.ts'
import type { ContextOrmOptions, Orms, ReplicaSettings } from '../options/options.ts'
import { MAX_TIMER_MS } from '../util/max-timer.ts'
import { patience } from '../util/patience.ts'
import { show } from '../util/show.ts'
import { isSqlOrm, sourceOf, sourcesOf, type OrmSource } from '../options/orm-source.ts'
import { PositionTokens } from './position-tokens.ts'
import { runningContexts, untilNoneRuns, type RunnableContext } from '../context/running-contexts.ts'

/** The databases of an app, or of a context outside of one: opened, found by name and closed. */
export class Databases implements DatabaseSet {
  readonly #sources: readonly OrmSource[]
  readonly #moving: readonly OrmSource[]
  /** Asked for each request, and so found out once. */
  #hasAllClients: boolean
  readonly #byName = new Map<string, OrmSource>()
  readonly #unfinished = new Set<Promise<unknown>>()
  #onClose: (() => unknown)[] = []
  #isClosing = false
  #closeTimer: NodeJS.Timeout | undefined
  #tokens: PositionTokens = UNSIGNED
  readonly #giveUp = Promise.withResolvers<void>()

  private constructor (where: string, orms: readonly object[]) {
    this.#sources = sourcesOf(where, orms)
    for (const source of this.#sources) this.#byName.set(source.name, source)
    this.#moving = this.#sources.filter(({ beforeContext }) => beforeContext !== undefined)
    this.#hasAllClients = this.#sources.every(({ orm }) => untilClientIsMade(orm) === undefined)
  }

  /** Resolves the plugin's option `orm`. What a function makes is the app's to close, also if it is refused. */
  static async open (option: ContextOrmOptions['orm'], replicas?: ReplicaSettings): Promise<Databases> {
    const isOwner = typeof option === 'function'
    const opened = await (isOwner ? option() : option)
    if (!isOrms(opened)) {
      throw new FST_ORM_BAD_OPTION(PLUGIN, 'orm', ORM_OPTION, `a function or promise that gave ${show(opened)}`)
    }
    const orms = asArray(opened)
    try {
      const databases = new Databases(PLUGIN, orms)
      databases.#onClose = orms.filter(isSqlOrm).map(resolveInContexts)
      if (isOwner) databases.#onClose.push(() => closeForGood(orms))
      if (replicas !== undefined) databases.#tokens = new PositionTokens(replicas)
      ofApps.add(databases)
      return databases
    } catch (error) {
      if (isOwner) await closeAll(orms)
      throw error
    }
  }

  /** Those of a context outside of any app. Throws `FST_ORM_CLOSING` while the app that uses one of them is closing, and when it has closed it. */
  static of (orms: Orms): Databases {
    const databases = new Databases(RUN, asArray(orms))
    if (databases.#belongToClosingApp() || asArray(orms).some(orm => closedForGood.has(orm))) throw new FST_ORM_CLOSING(RUN)
    for (const orm of asArray(orms)) if (isSqlOrm(orm)) keepResolvingInContexts(orm)
    for (const app of ofApps) if (app.#shareOneWith(databases)) databases.#tokens = app.#tokens
    return databases
  }

  /** What a context has to wait for before it is opened; `undefined` if that is nothing. */
  get beforeContext (): (() => Promise<void>) | undefined {
    if (this.#moving.length === 0 && this.#hasAllClients) return undefined
    return async () => {
      for (const source of this.#moving) await source.beforeContext!()
      for (const { orm } of this.#sources) await untilClientIsMade(orm)
      this.#hasAllClients = true
    }
  }

  get all (): readonly OrmSource[] {
    return this.#sources
  }

  get names (): string[] {
    return [...this.#byName.keys()]
  }

  /** The MikroORMs by their names. */
  get orms (): Record<string, MikroORM> {
    return Object.fromEntries(this.#sources.map(({ name, orm }) => [name, orm]))
  }

  get (name?: string): OrmSource {
    const source = name === undefined ? this.#sources[0] : this.#byName.get(name)
    if (source !== undefined) return source
    throw new FST_ORM_UNKNOWN_DATABASE(String(name), this.names.map(name => `"${name}"`).join(', '))
  }

  indexOf (source: OrmSource): number {
    return this.#sources.indexOf(source)
  }

  of (orm: MikroORM): OrmSource | undefined {
    return this.#sources.find(source => source.has(orm))
  }

  addUnfinished (work: Promise<unknown>): void {
    this.#unfinished.add(work)
    const forget = (): void => { this.#unfinished.delete(work) }
    work.then(forget, forget)
  }

  /** Those of the app that uses one of the databases, if there is one. */
  get tokens (): PositionTokens {
    return this.#tokens
  }

  get isClosing (): boolean {
    return this.#isClosing
  }

  /** For the beginning of `app.close()`: whatever is still running after `timeout` milliseconds is aborted. */
  startClosing (timeout: number): void {
    this.#isClosing = true
    if (timeout > MAX_TIMER_MS) return
    this.#closeTimer = setTimeout(() => {
      for (const context of this.#running) {
        const error = new FST_ORM_CLOSE_TIMEOUT(context.name, String(timeout))
        if (context.log !== undefined) context.log.warn(error.message)
        else process.emitWarning(error.message, 'FastifyContextOrmWarning')
        context.abort(error)
      }
      this.#closeTimer = setTimeout(() => this.#giveUp.resolve(), patience.close)
    }, timeout)
  }

  /** Waits for what is running, closes what a function made, and leaves what was passed in as it was. */
  async close (): Promise<void> {
    const done = untilNoneRuns(context => this.#isMine(context)).then(() => Promise.allSettled(this.#unfinished))
    await Promise.race([done, this.#giveUp.promise])
    clearTimeout(this.#closeTimer)
    for (const { name } of this.#running) process.emitWarning(`${name} is still running, and is not waited for any longer`, 'FastifyContextOrmWarning')
    ofApps.delete(this)
    for (const close of this.#onClose) await close()
  }

  get #running (): RunnableContext[] {
    return runningContexts(context => this.#isMine(context))
  }

  /** A context of the app, or one outside of it that uses a database which no other app keeps open. */
  #isMine ({ databases }: RunnableContext): boolean {
    return databases === this || (databases instanceof Databases && !ofApps.has(databases) && this.#shareOneWith(databases) && databases.#belongToClosingApp())
  }

  #belongToClosingApp (): boolean {
    const apps = [...ofApps].filter(app => app.#shareOneWith(this))
    return apps.length > 0 && apps.every(app => app.#isClosing)
  }

  #shareOneWith (other: Databases): boolean {
    return this.#sources.some(({ orm }) => other.of(orm) !== undefined)
  }
}

const UNSIGNED = new PositionTokens()

/** MikroORM connects again when one of them is used, and nobody would close that connection. */
const closedForGood = new WeakSet<object>()

async function closeForGood (orms: readonly object[]): Promise<void> {
  for (const orm of orms) closedForGood.add(orm)
  await closeAll(orms)
}

/** Those of the apps that have not closed yet. */
const ofApps = new Set<Databases>()

function asArray (orms: Orms): readonly object[] {
  return Array.isArray(orms) ? orms : [orms]
}

async function closeAll (orms: readonly object[]): Promise<void> {
  await Promise.all(orms.map(orm => sourceOf(orm).close()))
}

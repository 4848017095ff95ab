import { IsolationLevel, type MikroORM } from '@mikro-orm/core'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { inspect } from 'node:util'
import { FST_ORM_BAD_OPTION } from '../errors.ts'
import { isOrm } from './orm-source.ts'
import type { SwitchableOrm } from '../databases/switchable.ts'
import type { ContextEntityManager } from './types.ts'

/**
 * When a context begins its transaction: with the first statement that is not provably a read, with the first
 * statement, or never (each flush commits by itself then, as MikroORM does on its own).
 */
export type TransactionMode = 'on-write' | 'on-query' | false

export type OnAbort = 'rollback' | 'commit'

export type ShouldCommit = (request: FastifyRequest, reply: FastifyReply) => boolean | Promise<boolean>

/** Called before each commit of a request, for each database that has something to commit, in its transaction. */
export type BeforeCommit = (em: ContextEntityManager, request: FastifyRequest) => unknown

/** A database: a MikroORM, or one that moves. */
type Orm = MikroORM<any> | SwitchableOrm<any, any>
export type Orms = Orm | readonly Orm[]

export interface ContextOrmOptions {
  /**
   * The databases: a MikroORM (or what `switchable()` has made), several of them (each known by its `contextName`; the
   * first is `request.em`), or a function that makes either. What the function makes is closed with the app (if the function fails, it closes what
   * it has opened); what was passed in is not.
   */
  orm: Orms | Promise<Orms> | (() => Orms | Promise<Orms>)
  /** When a request begins its transaction. Default: `'on-write'`. */
  transaction?: TransactionMode | undefined
  /**
   * Whether a request that replies is committed (or else rolled back), asked in `onSend` of requests that used a
   * database. Default: `reply.statusCode < 400`.
   */
  shouldCommit?: ShouldCommit | undefined
  /**
   * Runs before each commit of a request, and of a `runInContext()` inside it: in the transaction, for each database that
   * has something to commit. What it changes is committed too; if it throws, everything is rolled back. Default: nothing.
   */
  beforeCommit?: BeforeCommit | undefined
  /**
   * What becomes of a request whose client goes away before the reply: `'rollback'` ends it at once, and cancels the
   * running query where the database can; `'commit'` lets the handler finish, and commits as usual. Default: `'rollback'`.
   */
  onAbort?: OnAbort | undefined
  /**
   * Whether the reply to an exception of the database gets the HTTP status that fits, such as 409 for a unique violation,
   * before error handlers run. Default: `true`.
   */
  statusCodes?: boolean | undefined
  /** Milliseconds for which `app.close()` waits for contexts that are running; then it aborts them. Default: 10,000. */
  closeTimeout?: number | undefined
  /**
   * Milliseconds after which a request is warned of that has held a connection by its transaction, or that keeps one for a
   * stream whose reader does not read on. Default: 1000.
   */
  warnHeldMs?: number | undefined
  /**
   * Milliseconds after which a stream of rows (`em().stream()`) is ended whose reader does not read on, such as the client of
   * a streamed reply. The reply breaks off. Default: none.
   */
  streamTimeout?: number | undefined
}

/** What `runInContext()` takes. */
export interface RunOptions {
  /** The databases. Default: those of the context around it; outside of one, `orm` is required. */
  orm?: Orms | undefined
  /** Default: `'on-write'`. */
  transaction?: TransactionMode | undefined
  /** As for a route. */
  isolationLevel?: RouteOrmOptions['isolationLevel']
  /** As for a route. */
  readOnly?: boolean | undefined
  /** For error messages and events. Default: the name of the function, or `'runInContext()'`. */
  name?: string | undefined
  /**
   * When it is aborted, the context is rolled back, running queries are cancelled where the database can, and
   * `runInContext()` rejects with the signal's reason. From when the commit is on its way, it changes nothing.
   */
  signal?: AbortSignal | undefined
}

/** What `atomic()` takes. */
export interface AtomicOptions {
  /**
   * What becomes of a transaction or of pending changes that the context already has: `'commit'` commits them before,
   * `'rollback'` rolls them back before, `'join'` makes them one with what follows, `'reject'` throws
   * `FST_ORM_TRANSACTION_OPEN`. Default: `'commit'`.
   */
  existing?: 'commit' | 'rollback' | 'join' | 'reject' | undefined
}

/** What a route says in `config: { orm: … }`. */
export interface RouteOrmOptions {
  /** Default: the plugin's. */
  transaction?: TransactionMode | undefined
  /**
   * Default: the database's. Of `'repeatable read'` and stricter, the transaction begins with the first statement, as
   * with `transaction: 'on-query'`.
   */
  isolationLevel?: IsolationLevel | `${IsolationLevel}` | undefined
  /**
   * Refuses writes with `FST_ORM_READ_ONLY`, and begins a read-only transaction with the first statement: what passes as a read
   * and writes is refused by the database. Default: `false`.
   */
  readOnly?: boolean | undefined
  /** Default: the plugin's. */
  shouldCommit?: ShouldCommit | undefined
  /** Default: the plugin's. */
  onAbort?: OnAbort | undefined
  /** Default: the plugin's. */
  streamTimeout?: number | undefined
}

export interface TransactionOptions {
  readonly transaction: TransactionMode
  readonly isolationLevel?: RouteOrmOptions['isolationLevel']
  readonly readOnly?: boolean | undefined
}

export interface RunSettings extends TransactionOptions {
  readonly name: string
  readonly signal?: AbortSignal | undefined
}

export interface RouteSettings extends TransactionOptions {
  readonly shouldCommit: ShouldCommit
  readonly beforeCommit?: BeforeCommit | undefined
  readonly onAbort: OnAbort
  readonly warnHeldMs: number
  readonly streamTimeout: number
}

export interface PluginSettings {
  /** Of routes that say nothing. */
  readonly routes: RouteSettings
  readonly statusCodes: boolean
  readonly closeTimeout: number
}

type Check = readonly [takes: string, isRight: (value: any) => boolean]

const TRANSACTION: Check = ["'on-write', 'on-query' or false", value => value === 'on-write' || value === 'on-query' || value === false]
const FUNCTION: Check = ['a function', value => typeof value === 'function']
const BOOLEAN: Check = ['true or false', value => typeof value === 'boolean']
/** What the option `orm` takes. */
export const ORM_OPTION = 'a MikroORM with an SQL driver (not its em), an array of them, or a function that makes either'
const ORM: Check = [ORM_OPTION, value => typeof value === 'function' || isPromise(value) || isOrms(value)]
const OPEN_ORM: Check = ['a MikroORM with an SQL driver (not its em), or an array of them', isOrms]
const ON_ABORT: Check = ["'rollback' or 'commit'", value => value === 'rollback' || value === 'commit']
const MILLISECONDS: Check = ['a number of milliseconds, 0 or more', value => typeof value === 'number' && value >= 0]
const TIMEOUT: Check = ['a number of milliseconds, more than 0', value => typeof value === 'number' && value > 0]
const NAME: Check = ['a string', value => typeof value === 'string']
const SIGNAL: Check = ['an AbortSignal', value => value instanceof AbortSignal]
const EXISTING: Check = ["'commit', 'rollback', 'join' or 'reject'", value => ['commit', 'rollback', 'join', 'reject'].includes(value)]
const ISOLATION_LEVELS = Object.values(IsolationLevel)
const ISOLATION_LEVEL: Check = [`one of '${ISOLATION_LEVELS.join("', '")}'`, value => ISOLATION_LEVELS.includes(value)]

const PLUGIN_OPTIONS: Record<keyof ContextOrmOptions, Check> = {
  orm: ORM,
  transaction: TRANSACTION,
  shouldCommit: FUNCTION,
  beforeCommit: FUNCTION,
  onAbort: ON_ABORT,
  statusCodes: BOOLEAN,
  closeTimeout: MILLISECONDS,
  warnHeldMs: MILLISECONDS,
  streamTimeout: TIMEOUT
}
const ROUTE_OPTIONS: Record<keyof RouteOrmOptions, Check> = {
  transaction: TRANSACTION, isolationLevel: ISOLATION_LEVEL, readOnly: BOOLEAN, shouldCommit: FUNCTION, onAbort: ON_ABORT, streamTimeout: TIMEOUT
}
const RUN_OPTIONS: Record<keyof RunOptions, Check> = {
  orm: OPEN_ORM, transaction: TRANSACTION, isolationLevel: ISOLATION_LEVEL, readOnly: BOOLEAN, name: NAME, signal: SIGNAL
}
const ATOMIC_OPTIONS: Record<keyof AtomicOptions, Check> = { existing: EXISTING }
/** Fastify's own, which `register()` passes on to every plugin. */
const REGISTER_OPTIONS = ['prefix', 'logLevel', 'logSerializers']

const SNAPSHOT_LEVELS: readonly unknown[] = [IsolationLevel.REPEATABLE_READ, IsolationLevel.SNAPSHOT, IsolationLevel.SERIALIZABLE]

/** Where an option of the plugin is wrong, as errors say it. */
export const PLUGIN = 'fastify-context-orm'
/** The same, and what a context is called that has no name. */
export const RUN = 'runInContext()'

/** Checks what the plugin was registered with; throws `FST_ORM_BAD_OPTION`. */
export function checkPluginOptions (options: ContextOrmOptions): PluginSettings {
  check(PLUGIN, options, PLUGIN_OPTIONS, REGISTER_OPTIONS)
  if (options.orm === undefined) throw new FST_ORM_BAD_OPTION(PLUGIN, 'orm', ORM_OPTION, 'nothing')
  const {
    transaction = 'on-write', shouldCommit = isSuccess, beforeCommit, onAbort = 'rollback',
    statusCodes = true, closeTimeout = 10_000, warnHeldMs = 1000, streamTimeout = Infinity
  } = options
  return { routes: Object.freeze({ transaction, shouldCommit, beforeCommit, onAbort, warnHeldMs, streamTimeout }), statusCodes, closeTimeout }
}

/** The settings of a route, or `false` if it wants no context; throws `FST_ORM_BAD_OPTION`. */
export function checkRouteOptions (route: string, options: RouteOrmOptions | false | undefined, defaults: RouteSettings): RouteSettings | false {
  if (options === undefined || options === false) return options ?? defaults
  if (typeof options !== 'object' || options === null) {
    throw new FST_ORM_BAD_OPTION(route, 'config.orm', 'an object, or false for no context', show(options))
  }
  check(`${route}, config.orm`, options, ROUTE_OPTIONS)

  const { shouldCommit = defaults.shouldCommit, onAbort = defaults.onAbort, streamTimeout = defaults.streamTimeout } = options
  const transaction = transactionOptions(`${route}, config.orm`, options, defaults.transaction)
  return Object.freeze({ ...defaults, ...transaction, shouldCommit, onAbort, streamTimeout })
}

/** The settings of a `runInContext()`; throws `FST_ORM_BAD_OPTION`. */
export function checkRunOptions (options: RunOptions, functionName: string): RunSettings {
  checkObject(RUN, options)
  check(RUN, options, RUN_OPTIONS)
  return { ...transactionOptions(RUN, options, 'on-write'), name: options.name || functionName || RUN, signal: options.signal }
}

/** What an `atomic()` does; throws `FST_ORM_BAD_OPTION`. */
export function checkAtomicOptions (options: AtomicOptions): { existing: NonNullable<AtomicOptions['existing']> } {
  checkObject('atomic()', options)
  check('atomic()', options, ATOMIC_OPTIONS)
  return { existing: options.existing ?? 'commit' }
}

function transactionOptions (where: string, options: Partial<TransactionOptions>, fallback: TransactionMode): TransactionOptions {
  const { isolationLevel, readOnly } = options
  const wants = isolationLevel !== undefined ? 'isolationLevel' : readOnly === true ? 'readOnly' : undefined
  if (options.transaction === false && wants !== undefined) {
    throw new FST_ORM_BAD_OPTION(where, wants, "a transaction ('on-write' or 'on-query')", 'transaction: false')
  }
  let transaction = options.transaction ?? fallback
  if (readOnly === true || SNAPSHOT_LEVELS.includes(isolationLevel)) transaction = 'on-query'
  else if (wants !== undefined && transaction === false) transaction = 'on-write'
  return { transaction, isolationLevel, readOnly }
}

function checkObject (where: string, options: unknown): void {
  if (typeof options !== 'object' || options === null) throw new FST_ORM_BAD_OPTION(where, 'options', 'an object', show(options))
}

function check (where: string, options: object, known: Record<string, Check>, ignored: string[] = []): void {
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || ignored.includes(name)) continue
    const rule = Object.hasOwn(known, name) ? known[name] : undefined
    if (rule === undefined) {
      throw new FST_ORM_BAD_OPTION(where, name, `no value, as there is no such option (there are ${Object.keys(known).join(', ')})`, show(value))
    }
    const [takes, isRight] = rule
    if (!isRight(value)) throw new FST_ORM_BAD_OPTION(where, name, takes, show(value))
  }
}

/** What `shouldCommit` is by default. */
export function isSuccess (_request: FastifyRequest, reply: FastifyReply): boolean {
  return reply.statusCode < 400
}

export function isOrms (value: unknown): value is Orms {
  return Array.isArray(value) ? value.length > 0 && value.every(isOrm) : isOrm(value)
}

function isPromise (value: any): boolean {
  return typeof value?.then === 'function'
}

/** For error messages: what came, and its type. */
export function show (value: unknown): string {
  return `${inspect(value, { depth: 0, breakLength: Infinity, maxStringLength: 60 })} (${value === null ? 'null' : typeof value})`
}

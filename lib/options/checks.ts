import { IsolationLevel } from '@mikro-orm/core'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { FST_ORM_BAD_OPTION } from '../errors.ts'
import { show } from '../util/show.ts'
import type {
  AtomicOptions, ContextOrmOptions, Orms, PluginSettings, RouteOrmOptions, RouteSettings, RunOptions, RunSettings, TransactionMode,
  TransactionOptions
} from './options.ts'
import { isOrm } from './orm-source.ts'

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

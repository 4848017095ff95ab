import { IsolationLevel } from '@mikro-orm/core'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { FST_ORM_BAD_OPTION } from '../errors.ts'
import { show } from '../util/show.ts'
import { checkOptions, REGISTER_OPTIONS, type Check } from './check-options.ts'
import type {
  AtomicOptions, ContextOrmOptions, HookOptions, Orms, PluginSettings, ReplicaOptions, ReplicaSettings, RouteOrmOptions, RouteSettings, RunOptions,
  RunSettings, TransactionMode, TransactionOptions
} from './options.ts'
import { isOrm } from './orm-source.ts'
import { retrySettings, type RetryOptions, type RetrySettings } from './retry.ts'

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
const RETRY: Check = ['how often it is run at most (a whole number, 1 or more), or an object', value => isCount(value) || (typeof value === 'object' && value !== null)]
const COUNT: Check = ['a whole number, 1 or more', isCount]
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
  streamTimeout: TIMEOUT,
  replicas: ['an object: { readYourWrites, secret }', value => typeof value === 'object' && value !== null]
}
const REPLICA_OPTIONS: Record<keyof ReplicaOptions, Check> = {
  readYourWrites: ["'cookie', 'header' or { get(request), set(reply, token) }", value => value === 'cookie' || value === 'header' || isTransport(value)],
  secret: ['a string that is not empty, or an array of them', value => [value].flat().length > 0 && [value].flat().every(secret => typeof secret === 'string' && secret !== '')],
  wait: MILLISECONDS,
  maxAge: TIMEOUT
}
const ROUTE_OPTIONS: Record<keyof RouteOrmOptions, Check> = {
  transaction: TRANSACTION,
  isolationLevel: ISOLATION_LEVEL,
  readOnly: BOOLEAN,
  replica: BOOLEAN,
  shouldCommit: FUNCTION,
  onAbort: ON_ABORT,
  streamTimeout: TIMEOUT,
  retry: RETRY
}
const RUN_OPTIONS: Record<keyof RunOptions, Check> = {
  orm: OPEN_ORM,
  transaction: TRANSACTION,
  isolationLevel: ISOLATION_LEVEL,
  readOnly: BOOLEAN,
  replica: BOOLEAN,
  after: NAME,
  name: NAME,
  signal: SIGNAL,
  retry: RETRY
}
const ATOMIC_OPTIONS: Record<keyof AtomicOptions, Check> = { existing: EXISTING, retry: RETRY }
const HOOK_OPTIONS: Record<keyof HookOptions, Check> = { wait: BOOLEAN }
const RETRY_OPTIONS: Record<keyof RetryOptions, Check> = { attempts: COUNT, delay: FUNCTION, when: FUNCTION }

const SNAPSHOT_LEVELS: readonly unknown[] = [IsolationLevel.REPEATABLE_READ, IsolationLevel.SNAPSHOT, IsolationLevel.SERIALIZABLE]

/** Where an option of the plugin is wrong, as errors say it. */
export const PLUGIN = 'fastify-context-orm'
/** Where an option of `runInContext()` is wrong. It is also the name of a context that has none. */
export const RUN = 'runInContext()'

/** Checks what the plugin was registered with; throws `FST_ORM_BAD_OPTION`. */
export function checkPluginOptions (options: ContextOrmOptions): PluginSettings {
  checkOptions(PLUGIN, options, PLUGIN_OPTIONS, REGISTER_OPTIONS)
  if (options.orm === undefined) throw new FST_ORM_BAD_OPTION(PLUGIN, 'orm', ORM_OPTION, 'nothing')
  const {
    transaction = 'on-write', shouldCommit = isSuccess, beforeCommit, onAbort = 'rollback',
    statusCodes = true, closeTimeout = 10_000, warnHeldMs = 1000, streamTimeout = Infinity
  } = options
  const replicas = options.replicas && checkReplicaOptions(options.replicas)
  return { routes: Object.freeze({ transaction, shouldCommit, beforeCommit, onAbort, warnHeldMs, streamTimeout }), statusCodes, closeTimeout, replicas }
}

function checkReplicaOptions (options: ReplicaOptions): ReplicaSettings {
  const where = `${PLUGIN}, replicas`
  checkOptions(where, options, REPLICA_OPTIONS)
  const { readYourWrites, secret, wait = 50, maxAge = 600_000 } = options
  for (const [name, value] of Object.entries({ readYourWrites, secret })) {
    if (value === undefined) throw new FST_ORM_BAD_OPTION(where, name, REPLICA_OPTIONS[name as keyof ReplicaOptions][0], 'nothing')
  }
  return { readYourWrites, secrets: [secret].flat(), wait, maxAge }
}

/** The settings of a route, or `false` if it wants no context; throws `FST_ORM_BAD_OPTION`. */
export function checkRouteOptions (route: string, options: RouteOrmOptions | false | undefined, defaults: RouteSettings): RouteSettings | false {
  if (options === undefined || options === false) return options ?? defaults
  if (typeof options !== 'object' || options === null) {
    throw new FST_ORM_BAD_OPTION(route, 'config.orm', 'an object, or false for no context', show(options))
  }
  checkOptions(`${route}, config.orm`, options, ROUTE_OPTIONS)

  const { shouldCommit = defaults.shouldCommit, onAbort = defaults.onAbort, streamTimeout = defaults.streamTimeout } = options
  const transaction = transactionOptions(`${route}, config.orm`, options, defaults.transaction)
  const retry = checkRetry(`${route}, config.orm`, options.retry, transaction.transaction)
  return Object.freeze({ ...defaults, ...transaction, shouldCommit, onAbort, streamTimeout, retry })
}

/** The settings of a `runInContext()`; throws `FST_ORM_BAD_OPTION`. */
export function checkRunOptions (options: RunOptions, functionName: string): RunSettings {
  checkObject(RUN, options)
  checkOptions(RUN, options, RUN_OPTIONS)
  const transaction = transactionOptions(RUN, options, 'on-write')
  const retry = checkRetry(RUN, options.retry, transaction.transaction)
  return { ...transaction, name: options.name || functionName || RUN, signal: options.signal, after: options.after, retry }
}

/** What an `atomic()` does; throws `FST_ORM_BAD_OPTION`. */
export function checkHookOptions (what: string, options: HookOptions): void {
  checkObject(what, options)
  checkOptions(what, options, HOOK_OPTIONS)
}

export function checkAtomicOptions (options: AtomicOptions): { existing: NonNullable<AtomicOptions['existing']>, retry: RetrySettings | undefined } {
  checkObject('atomic()', options)
  checkOptions('atomic()', options, ATOMIC_OPTIONS)
  const { existing = 'commit' } = options
  if (existing === 'join' && options.retry !== undefined) {
    throw new FST_ORM_BAD_OPTION('atomic()', 'retry', 'a transaction that can be run again as a whole', "existing: 'join', of which a part is done already")
  }
  return { existing, retry: checkRetry('atomic()', options.retry, 'on-write') }
}

function checkRetry (where: string, retry: RouteOrmOptions['retry'], transaction: TransactionMode): RetrySettings | undefined {
  if (retry !== undefined && transaction === false) {
    throw new FST_ORM_BAD_OPTION(where, 'retry', "a transaction ('on-write' or 'on-query')", 'transaction: false, where nothing is rolled back')
  }
  if (typeof retry === 'object') checkOptions(`${where}, retry`, retry, RETRY_OPTIONS)
  return retrySettings(retry)
}

function transactionOptions (where: string, options: Partial<TransactionOptions>, fallback: TransactionMode): TransactionOptions {
  const { isolationLevel, readOnly, replica } = options
  const wants = isolationLevel !== undefined ? 'isolationLevel' : readOnly === true ? 'readOnly' : undefined
  if (options.transaction === false && wants !== undefined) {
    throw new FST_ORM_BAD_OPTION(where, wants, "a transaction ('on-write' or 'on-query')", 'transaction: false')
  }
  let transaction = options.transaction ?? fallback
  if (readOnly === true || SNAPSHOT_LEVELS.includes(isolationLevel)) transaction = 'on-query'
  else if (wants !== undefined && transaction === false) transaction = 'on-write'
  return { transaction, isolationLevel, readOnly, replica }
}

function checkObject (where: string, options: unknown): void {
  if (typeof options !== 'object' || options === null) throw new FST_ORM_BAD_OPTION(where, 'options', 'an object', show(options))
}

/** What `shouldCommit` is by default. */
export function isSuccess (_request: FastifyRequest, reply: FastifyReply): boolean {
  return reply.statusCode < 400
}

export function isOrms (value: unknown): value is Orms {
  return Array.isArray(value) ? value.length > 0 && value.every(isOrm) : isOrm(value)
}

function isTransport (value: any): boolean {
  return typeof value?.get === 'function' && typeof value.set === 'function'
}

function isCount (value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 1
}

function isPromise (value: any): boolean {
  return typeof value?.then === 'function'
}

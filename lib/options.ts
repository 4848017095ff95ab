import { IsolationLevel, type MikroORM } from '@mikro-orm/core'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { inspect } from 'node:util'
import { FST_ORM_BAD_OPTION } from './errors.ts'

/**
 * When a context begins its transaction: with the first statement that is not provably a read, with the first
 * statement, or never (each flush commits by itself then, as MikroORM does on its own).
 */
export type TransactionMode = 'on-write' | 'on-query' | false

export type ShouldCommit = (request: FastifyRequest, reply: FastifyReply) => boolean | Promise<boolean>

type Orms = MikroORM<any> | readonly MikroORM<any>[]

export interface ContextOrmOptions {
  /**
   * The databases: a MikroORM, several of them (each known by its `contextName`; the first is `request.em`), or a
   * function that makes either. What the function makes is closed with the app (if the function fails, it closes what
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
  /** Refuses every write with `FST_ORM_READ_ONLY`, and begins its transaction read-only. Default: `false`. */
  readOnly?: boolean | undefined
  /** Default: the plugin's. */
  shouldCommit?: ShouldCommit | undefined
}

export interface TransactionOptions {
  readonly transaction: TransactionMode
  readonly isolationLevel?: RouteOrmOptions['isolationLevel']
  readonly readOnly?: boolean | undefined
}

export interface RouteSettings extends TransactionOptions {
  readonly shouldCommit: ShouldCommit
}

type Check = readonly [takes: string, isRight: (value: any) => boolean]

const TRANSACTION: Check = ["'on-write', 'on-query' or false", value => value === 'on-write' || value === 'on-query' || value === false]
const FUNCTION: Check = ['a function', value => typeof value === 'function']
const BOOLEAN: Check = ['true or false', value => typeof value === 'boolean']
/** What the option `orm` takes. */
export const ORM_OPTION = 'a MikroORM with an SQL driver (not its em), an array of them, or a function that makes either'
const ORM: Check = [ORM_OPTION, value => typeof value === 'function' || isPromise(value) || isOrms(value)]
const ISOLATION_LEVELS = Object.values(IsolationLevel)
const ISOLATION_LEVEL: Check = [`one of '${ISOLATION_LEVELS.join("', '")}'`, value => ISOLATION_LEVELS.includes(value)]

const PLUGIN_OPTIONS: Record<keyof ContextOrmOptions, Check> = { orm: ORM, transaction: TRANSACTION, shouldCommit: FUNCTION }
const ROUTE_OPTIONS: Record<keyof RouteOrmOptions, Check> = {
  transaction: TRANSACTION, isolationLevel: ISOLATION_LEVEL, readOnly: BOOLEAN, shouldCommit: FUNCTION
}
/** Fastify's own, which `register()` passes on to every plugin. */
const REGISTER_OPTIONS = ['prefix', 'logLevel', 'logSerializers']

const SNAPSHOT_LEVELS: readonly unknown[] = [IsolationLevel.REPEATABLE_READ, IsolationLevel.SNAPSHOT, IsolationLevel.SERIALIZABLE]

/** Where an option of the plugin is wrong, as errors say it. */
export const PLUGIN = 'fastify-context-orm'

/** Checks what the plugin was registered with; throws `FST_ORM_BAD_OPTION`. */
export function checkPluginOptions (options: ContextOrmOptions): RouteSettings {
  check(PLUGIN, options, PLUGIN_OPTIONS, REGISTER_OPTIONS)
  if (options.orm === undefined) throw new FST_ORM_BAD_OPTION(PLUGIN, 'orm', ORM_OPTION, 'nothing')
  return Object.freeze({
    transaction: options.transaction ?? 'on-write',
    shouldCommit: options.shouldCommit ?? isSuccess
  })
}

/** The settings of a route, or `false` if it wants no context; throws `FST_ORM_BAD_OPTION`. */
export function checkRouteOptions (route: string, options: RouteOrmOptions | false | undefined, defaults: RouteSettings): RouteSettings | false {
  if (options === undefined || options === false) return options ?? defaults
  if (typeof options !== 'object' || options === null) {
    throw new FST_ORM_BAD_OPTION(route, 'config.orm', 'an object, or false for no context', show(options))
  }
  check(`${route}, config.orm`, options, ROUTE_OPTIONS)

  const { isolationLevel, readOnly, shouldCommit = defaults.shouldCommit } = options
  const wants = isolationLevel !== undefined ? 'isolationLevel' : readOnly === true ? 'readOnly' : undefined
  if (options.transaction === false && wants !== undefined) {
    throw new FST_ORM_BAD_OPTION(`${route}, config.orm`, wants, "a transaction ('on-write' or 'on-query')", 'transaction: false')
  }
  let transaction = options.transaction ?? defaults.transaction
  if (SNAPSHOT_LEVELS.includes(isolationLevel)) transaction = 'on-query'
  else if (wants !== undefined && transaction === false) transaction = 'on-write'
  return Object.freeze({ transaction, isolationLevel, readOnly, shouldCommit })
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

function isSuccess (_request: FastifyRequest, reply: FastifyReply): boolean {
  return reply.statusCode < 400
}

export function isOrms (value: unknown): value is Orms {
  return Array.isArray(value) ? value.length > 0 && value.every(isSqlOrm) : isSqlOrm(value)
}

/** By what it does, not by its class: a second copy of MikroORM in the tree must not matter. */
function isSqlOrm (value: any): value is MikroORM {
  return typeof value?.em?.fork === 'function' && typeof value.config?.get === 'function' &&
    typeof value.driver?.getConnection?.()?.getClient === 'function'
}

function isPromise (value: any): boolean {
  return typeof value?.then === 'function'
}

/** For error messages: what came, and its type. */
export function show (value: unknown): string {
  return `${inspect(value, { depth: 0, breakLength: Infinity, maxStringLength: 60 })} (${value === null ? 'null' : typeof value})`
}

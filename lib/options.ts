import { IsolationLevel, MikroORM } from '@mikro-orm/core'
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
   * function that makes either. What the function makes is closed with the app; what was passed in is not.
   */
  orm: Orms | Promise<Orms> | (() => Orms | Promise<Orms>)
  /** When a request begins its transaction. Default: `'on-write'`. */
  transaction?: TransactionMode
  /**
   * Whether a request that replies is committed (or else rolled back), asked in `onSend` of requests that used a
   * database. Default: `reply.statusCode < 400`.
   */
  shouldCommit?: ShouldCommit
}

/** What a route says in `config: { orm: … }`. */
export interface RouteOrmOptions {
  /** Default: the plugin's. */
  transaction?: TransactionMode
  /** Default: the database's. Of `'repeatable read'` and stricter, the transaction begins with the first statement. */
  isolationLevel?: IsolationLevel | `${IsolationLevel}`
  /** Refuses every write with `FST_ORM_READ_ONLY`, and begins its transaction read-only. Default: `false`. */
  readOnly?: boolean
  /** Default: the plugin's. */
  shouldCommit?: ShouldCommit
}

export interface TransactionOptions {
  readonly transaction: TransactionMode
  readonly isolationLevel?: RouteOrmOptions['isolationLevel']
  readonly readOnly?: boolean
}

export interface RouteSettings extends TransactionOptions {
  readonly shouldCommit: ShouldCommit
}

type Check = readonly [takes: string, isRight: (value: any) => boolean]

const TRANSACTION: Check = ["'on-write', 'on-query' or false", value => value === 'on-write' || value === 'on-query' || value === false]
const FUNCTION: Check = ['a function', value => typeof value === 'function']
const BOOLEAN: Check = ['true or false', value => typeof value === 'boolean']
const ORM: Check = ['a MikroORM, an array of them, or a function that makes either', value => typeof value === 'function' || isPromise(value) || isOrms(value)]
const ISOLATION_LEVELS = Object.values(IsolationLevel)
const ISOLATION_LEVEL: Check = [`one of '${ISOLATION_LEVELS.join("', '")}'`, value => ISOLATION_LEVELS.includes(value)]

const PLUGIN_OPTIONS: Record<keyof ContextOrmOptions, Check> = { orm: ORM, transaction: TRANSACTION, shouldCommit: FUNCTION }
const ROUTE_OPTIONS: Record<keyof RouteOrmOptions, Check> = {
  transaction: TRANSACTION, isolationLevel: ISOLATION_LEVEL, readOnly: BOOLEAN, shouldCommit: FUNCTION
}
/** Fastify's own, which `register()` passes on to every plugin. */
const REGISTER_OPTIONS = ['prefix', 'logLevel', 'logSerializers']

const SNAPSHOT_LEVELS: readonly unknown[] = [IsolationLevel.REPEATABLE_READ, IsolationLevel.SNAPSHOT, IsolationLevel.SERIALIZABLE]

const PLUGIN = 'fastify-context-orm'

/** Checks what the plugin was registered with; throws `FST_ORM_BAD_OPTION`. */
export function checkPluginOptions (options: ContextOrmOptions): RouteSettings {
  check(PLUGIN, options, PLUGIN_OPTIONS, REGISTER_OPTIONS)
  if (options.orm === undefined) throw new FST_ORM_BAD_OPTION(PLUGIN, 'orm', ORM[0], 'nothing')
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
  const needsSnapshot = SNAPSHOT_LEVELS.includes(isolationLevel)
  const transaction = options.transaction ?? defaults.transaction
  if (transaction === false && (readOnly === true || (isolationLevel !== undefined && (!needsSnapshot || options.transaction === false)))) {
    const option = readOnly === true ? 'readOnly' : 'isolationLevel'
    throw new FST_ORM_BAD_OPTION(`${route}, config.orm`, option, "a transaction ('on-write' or 'on-query')", 'transaction: false')
  }
  return Object.freeze({ transaction: needsSnapshot ? 'on-query' : transaction, isolationLevel, readOnly, shouldCommit })
}

/** Resolves the option `orm` to the databases by name, the first of which is the default. */
export async function openDatabases (orm: ContextOrmOptions['orm']): Promise<Map<string, MikroORM>> {
  const opened = await (typeof orm === 'function' ? orm() : orm)
  if (!isOrms(opened)) throw new FST_ORM_BAD_OPTION(PLUGIN, 'orm', ORM[0], `a function or promise that gave ${show(opened)}`)
  const databases = new Map<string, MikroORM>()
  for (const orm of Array.isArray(opened) ? opened : [opened]) {
    const name = orm.config.get('contextName')
    if (databases.has(name)) {
      throw new FST_ORM_BAD_OPTION(PLUGIN, 'orm', 'MikroORMs that differ in their contextName', `two that are called "${name}"`)
    }
    databases.set(name, orm)
  }
  return databases
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

function isOrms (value: unknown): value is Orms {
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

function show (value: unknown): string {
  return `${inspect(value, { depth: 0, breakLength: Infinity, maxStringLength: 60 })} (${value === null ? 'null' : typeof value})`
}

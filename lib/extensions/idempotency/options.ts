import type { MikroORM } from '@mikro-orm/core'
import type { FastifyRequest } from 'fastify'
import type { DatabaseName, SwitchableOrm } from '../../../index.ts'
import { FST_ORM_BAD_OPTION } from '../../errors.ts'
import { checkOptions, REGISTER_OPTIONS, type Check } from '../../options/check-options.ts'
import { MAX_TIMER_MS } from '../../util/max-timer.ts'
import { show } from '../../util/show.ts'

/** Who sends a request: keys of one are none of another's. */
export type Scope = (request: FastifyRequest) => string | Promise<string>

/** What the plugin takes, and a route can have otherwise. */
export interface IdempotencyRouteOptions {
  /** Whether a request without a key is refused with 400. Default: `false`, it is handled as if the route had no keys. */
  required?: boolean | undefined
  /**
   * Who sends the request, as a string that is not empty: a key of one is none of another's. Asked after the hooks before the
   * handler. Default: everybody is one, which is right only where nobody has to log in, or all may see the replies of all.
   */
  scope?: Scope | undefined
  /** Milliseconds for which a reply is kept. Default: a day. */
  maxAge?: number | undefined
  /** The largest body of a reply, in bytes, that is stored. Default: 1 MiB. */
  maxBytes?: number | undefined
  /**
   * Milliseconds for which a request waits for another one with the same key that is still running; then it is refused with 409.
   * Default: 5000. As the IETF's draft has it: 0.
   */
  wait?: number | undefined
  /** Headers of the reply that are not stored, and that a replay does not have. Default: `['set-cookie']`. */
  omitHeaders?: readonly string[] | undefined
}

/** What `fastify-context-orm/idempotency` is registered with. */
export interface IdempotencyOptions extends IdempotencyRouteOptions {
  /** The database that keeps the keys, beside the work: its name, or its MikroORM. Default: the first. */
  orm?: DatabaseName | MikroORM<any> | SwitchableOrm<any, any> | undefined
  /** The name of the header. Default: `'idempotency-key'`. */
  header?: string | undefined
  /**
   * What the header `Link` of the replies 400, 409, 415 and 422 points to: where clients read how the API uses keys; `false` for no such
   * header. Default: the IETF's draft.
   */
  documentation?: string | false | undefined
  /** Milliseconds after which keys that are too old are deleted, again and again. Default: never, see `deleteExpiredKeys()`. */
  cleanUpEvery?: number | undefined
}

export interface RouteSettings {
  readonly required: boolean
  readonly scope: Scope
  readonly maxAge: number
  readonly maxBytes: number
  readonly wait: number
  /** In lower case. */
  readonly omitHeaders: ReadonlySet<string>
}

export interface Settings {
  readonly routes: RouteSettings
  readonly database: DatabaseName | undefined
  readonly header: string
  readonly documentation: string | false
  readonly cleanUpEvery: number | undefined
}

/** Where an option is wrong, as errors say it. */
export const PLUGIN = 'fastify-context-orm/idempotency'

const DRAFT = 'https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/'
/** What is stored of a reply is sent in one statement. */
const MIB = 2 ** 20
const DAY = 24 * 60 * 60 * 1000

const ROUTE_OPTIONS: Record<keyof IdempotencyRouteOptions, Check> = {
  required: ['true or false', value => typeof value === 'boolean'],
  scope: ['a function', value => typeof value === 'function'],
  maxAge: ['a number of milliseconds, more than 0', value => Number.isFinite(value) && value > 0],
  maxBytes: ['a number of bytes, 0 or more', value => Number.isFinite(value) && value >= 0],
  wait: [`a number of milliseconds, from 0 to ${MAX_TIMER_MS}`, value => Number.isFinite(value) && value >= 0 && value <= MAX_TIMER_MS],
  omitHeaders: ['an array of names of headers', value => Array.isArray(value) && value.every(isHeader)]
}
const OPTIONS: Record<keyof IdempotencyOptions, Check> = {
  orm: ['the name of a database, or a MikroORM', value => typeof value === 'string' || nameOf(value) !== undefined],
  header: ['the name of a header', isHeader],
  documentation: ['a URL, or false', value => value === false || (typeof value === 'string' && URL.canParse(value) && !/[<>\s]/.test(value))],
  cleanUpEvery: [`a number of milliseconds, from 1 to ${MAX_TIMER_MS}`, value => Number.isFinite(value) && value >= 1 && value <= MAX_TIMER_MS],
  ...ROUTE_OPTIONS
}

const DEFAULTS: RouteSettings = {
  required: false, scope: () => 'everybody', maxAge: DAY, maxBytes: MIB, wait: 5000, omitHeaders: new Set(['set-cookie'])
}

/** Throws `FST_ORM_BAD_OPTION`. */
export function checkPluginOptions (options: IdempotencyOptions): Settings {
  checkOptions(PLUGIN, options, OPTIONS, REGISTER_OPTIONS)
  const { orm, header = 'idempotency-key', documentation = DRAFT, cleanUpEvery } = options
  return {
    routes: settingsOf(options, DEFAULTS),
    database: nameOf(orm),
    header: header.toLowerCase(),
    documentation,
    cleanUpEvery
  }
}

/** Throws `FST_ORM_BAD_OPTION`; `undefined` if the route is to have no keys. */
export function checkRouteOptions (route: string, options: unknown, defaults: RouteSettings): RouteSettings | undefined {
  if (options === undefined || options === false) return undefined
  if (options === true) return defaults
  if (typeof options !== 'object' || options === null) throw new FST_ORM_BAD_OPTION(route, 'config.idempotency', 'true, false or an object', show(options))
  checkOptions(`${route}, config.idempotency`, options, ROUTE_OPTIONS)
  return settingsOf(options, defaults)
}

function settingsOf (options: IdempotencyRouteOptions, defaults: RouteSettings): RouteSettings {
  const { required = defaults.required, scope = defaults.scope, maxAge = defaults.maxAge, maxBytes = defaults.maxBytes, wait = defaults.wait } = options
  const omitHeaders = options.omitHeaders === undefined ? defaults.omitHeaders : new Set(options.omitHeaders.map(name => name.toLowerCase()))
  return { required, scope, maxAge, maxBytes, wait, omitHeaders }
}

/** Of a MikroORM, or of one that moves. */
function nameOf (orm: any): DatabaseName | undefined {
  return typeof orm === 'string' ? orm : (orm?.config ?? orm?.orm?.config)?.get?.('contextName')
}

function isHeader (value: unknown): boolean {
  return typeof value === 'string' && /^[\w!#$%&'*+.^`|~-]+$/.test(value)
}

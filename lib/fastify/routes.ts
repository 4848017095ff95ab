import type { FastifyRequest, RouteOptions } from 'fastify'
import { checkRouteOptions } from '../options/checks.ts'
import type { RouteSettings } from '../options/options.ts'
import { RouteRecords, type OuterHooks } from './internals.ts'

export interface Route {
  /** With parameters unfilled; `undefined` where no route was found. */
  readonly url: string | undefined
  readonly settings: RouteSettings | false
}

/** What the plugin knows of the routes of an app. */
export class Routes {
  readonly #defaults: RouteSettings
  readonly #records: RouteRecords
  /** By Fastify's record of it, or by its `config` if there is none. */
  readonly #known = new WeakMap<object, Route>()
  #hasWarned = false

  constructor (defaults: RouteSettings, outer: OuterHooks) {
    this.#defaults = defaults
    this.#records = new RouteRecords(outer)
  }

  /** For `onRoute`: a mistake shall show when the app starts. Throws `FST_ORM_BAD_OPTION`. */
  check ({ url, method, config }: RouteOptions): void {
    checkRouteOptions(nameOf(String(method), url), config?.orm, this.#defaults)
  }

  /** Completes the route with its first request. Throws `FST_ORM_BAD_OPTION`. */
  of (request: FastifyRequest): Route {
    const key = this.#records.of(request) ?? request.routeOptions.config
    return this.#known.get(key) ?? this.#meet(request, key)
  }

  /** When all routes are there, and all their hooks: whatever a plugin does that is registered later, ours are around it. */
  complete (request: FastifyRequest): void {
    const record = this.#records.of(request)
    if (record !== undefined) return this.#records.complete(record)
    if (this.#hasWarned) return
    this.#hasWarned = true
    request.log.error(`fastify-context-orm does not find its way in Fastify ${request.server.version}: what later onSend hooks write is lost, one that fails is too late, and replies tell of errors of the database. Use a version of Fastify that it is tested with`)
  }

  #meet (request: FastifyRequest, key: object): Route {
    this.complete(request)
    const { method, routeOptions: { url, config } } = request
    const route: Route = Object.freeze({ url, settings: checkRouteOptions(nameOf(method, url), config.orm, this.#defaults) })
    if (route.settings !== false) this.#replaceHandler(request, route.settings)
    this.#known.set(key, route)
    return route
  }

  #replaceHandler (request: FastifyRequest, { onAbort, retry }: RouteSettings): void {
    const record = this.#records.of(request)
    if (onAbort === 'commit') this.#records.replaceHandler(record, 'finish')
    if (retry !== undefined) this.#records.replaceHandler(record, 'retry')
  }
}

function nameOf (method: string, url: string | undefined): string {
  return `route ${method} ${url ?? 'not found'}`
}

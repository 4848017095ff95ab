import type { FastifyContextConfig, FastifyRequest, RouteOptions } from 'fastify'
import { checkRouteOptions, type RouteSettings } from './options.ts'

export interface Route {
  /** With parameters unfilled; `undefined` where no route was found. */
  readonly url: string | undefined
  readonly settings: RouteSettings | false
}

/** Hooks as a route's options have them, and as Fastify keeps them. */
export type RouteHooks = Pick<RouteOptions, 'preSerialization' | 'onSend'>

/** Appends the plugin's own hooks to those of a route. */
export type AppendHooks = (hooks: RouteHooks, route: Route) => void

/** Fastify copies a route's config, symbols included, before a request gets to see it. */
const ROUTE = Symbol('fastify-context-orm.route')

interface Config extends FastifyContextConfig {
  [ROUTE]?: Route
}

/** Fastify's own record of a route, from which each request is handled. */
interface RouteRecord extends RouteHooks {
  config: Config
}

/** What the plugin knows of the routes of an app. */
export class Routes {
  readonly #defaults: RouteSettings
  readonly #append: AppendHooks
  readonly #described = new WeakMap<object, Route>()
  readonly #adopted = new WeakSet<RouteRecord>()

  constructor (defaults: RouteSettings, append: AppendHooks) {
    this.#defaults = defaults
    this.#append = append
  }

  /** For `onRoute`: checks what the route says, and appends the hooks. Throws `FST_ORM_BAD_OPTION`. */
  add (options: RouteOptions): void {
    const config: Config | undefined = options.config
    const route = this.#describe(options.url, String(options.method), config)
    options.config = { ...config, [ROUTE]: route } as Config
    this.#append(options, route)
  }

  /**
   * `onRoute` does not see routes that were declared before the plugin had loaded, nor the handlers of requests that
   * have no route. They get their hooks with their first request. Throws `FST_ORM_BAD_OPTION`.
   */
  adopt (request: FastifyRequest): void {
    if (this.hasHooks(request)) return
    const route = this.of(request)
    const record = recordOf(request)
    if (record === undefined) return
    this.#append(record, route)
    this.#adopted.add(record)
  }

  /** Whether the hooks of the request's route are there, and come last. */
  hasHooks (request: FastifyRequest): boolean {
    const record = recordOf(request)
    if (record === undefined) return (request.routeOptions.config as Config)[ROUTE] !== undefined
    return record.config[ROUTE] !== undefined || this.#adopted.has(record)
  }

  of (request: FastifyRequest): Route {
    const config: Config = recordOf(request)?.config ?? request.routeOptions.config
    const known = config[ROUTE] ?? this.#described.get(config)
    if (known !== undefined) return known
    const route = this.#describe(request.routeOptions.url, request.method, config)
    this.#described.set(config, route)
    return route
  }

  #describe (url: string | undefined, method: string, config: Config | undefined): Route {
    return Object.freeze({ url, settings: checkRouteOptions(`route ${method} ${url ?? 'not found'}`, config?.orm, this.#defaults) })
  }
}

/**
 * The one internal of Fastify's that the plugin uses (`kRouteContext`, seen in 5.12). Without it, hooks cannot be
 * appended to a route that was declared before, and those for everybody settle it: before the hooks of that route.
 */
function recordOf (request: FastifyRequest): RouteRecord | undefined {
  recordSymbol ??= Object.getOwnPropertySymbols(request).find(({ description }) => description === 'fastify.context')
  return recordSymbol && (request as unknown as Record<symbol, RouteRecord>)[recordSymbol]
}

let recordSymbol: symbol | undefined

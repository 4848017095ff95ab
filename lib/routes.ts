import type { FastifyContextConfig, FastifyRequest, RouteOptions } from 'fastify'
import { checkRouteOptions, type RouteSettings } from './options.ts'

export interface Route {
  /** With parameters unfilled; `undefined` where no route was found. */
  readonly url: string | undefined
  readonly settings: RouteSettings | false
}

/** Fastify copies a route's config, symbols included, before a request gets to see it. */
const ROUTE = Symbol('fastify-context-orm.route')

interface Config extends FastifyContextConfig {
  [ROUTE]?: Route
}

/** What the plugin knows of the routes of an app. */
export class Routes {
  readonly #defaults: RouteSettings
  readonly #hasUnseen: boolean
  readonly #unseen = new WeakMap<object, Route>()

  /** `hasUnseen`: there are routes that were declared before the plugin had loaded, and that `onRoute` has not seen. */
  constructor (defaults: RouteSettings, hasUnseen: boolean) {
    this.#defaults = defaults
    this.#hasUnseen = hasUnseen
  }

  /** Called from `onRoute`; throws `FST_ORM_BAD_OPTION`. */
  add (options: RouteOptions): Route {
    const config: Config | undefined = options.config
    const route = this.#describe(options.url, String(options.method), config)
    options.config = { ...config, [ROUTE]: route } as Config
    return route
  }

  of (request: FastifyRequest): Route {
    const config: Config = request.routeOptions.config
    const known = config[ROUTE] ?? this.#unseen.get(config)
    if (known !== undefined) return known
    const route = this.#describe(request.routeOptions.url, request.method, config)
    this.#unseen.set(config, route)
    return route
  }

  /** Whether `onRoute` has seen the route of the request. Mostly true without a look, which takes Fastify 0.1 µs. */
  hasSeen (request: FastifyRequest): boolean {
    if (request.is404) return false
    return !this.#hasUnseen || (request.routeOptions.config as Config)[ROUTE] !== undefined
  }

  #describe (url: string | undefined, method: string, config: Config | undefined): Route {
    return Object.freeze({ url, settings: checkRouteOptions(`route ${method} ${url ?? 'not found'}`, config?.orm, this.#defaults) })
  }
}

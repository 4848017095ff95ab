import type { FastifyError, FastifyReply, FastifyRequest, HookHandlerDoneFunction, RouteHandlerMethod, RouteOptions } from 'fastify'
import { show } from '../../util/show.ts'
import { FST_ORM_BAD_OPTION } from '../../errors.ts'
import { FST_ORM_IDEMPOTENCY_MISSING, FST_ORM_IDEMPOTENCY_ROUTE } from './errors.ts'
import { keyed as keyedChannel, type IdempotencyEvent } from './events.ts'
import { fingerprintOf } from './fingerprint.ts'
import { idOf, keyOf } from './key.ts'
import type { KeyedAttempt } from './keyed-attempt.ts'
import { KeyedRequest, type Shared } from './keyed-request.ts'
import { checkRouteOptions, type RouteSettings, type Settings } from './options.ts'

export const KEYED: unique symbol = Symbol('fastify-context-orm/idempotency')

declare module 'fastify' {
  interface FastifyRequest {
    [KEYED]: KeyedRequest | null
  }
}

/** In the config of a route that has got the hooks. */
const ARMED = Symbol('armed')

/** They change nothing, and a reply to them is not worth keeping. */
const SAFE_METHODS = ['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PROPFIND', 'SEARCH']

/** Seconds after which a client may try again what was refused with 409. */
const RETRY_AFTER = '1'

/** Gives routes that want keys the hooks for it; others pay nothing. */
export class Routes {
  readonly #settings: Settings
  readonly #shared: Shared
  /** Those whose key could not be taken, unless another attempt can. */
  readonly #refused = new WeakSet<FastifyRequest>()

  constructor (settings: Settings, shared: Shared) {
    this.#settings = settings
    this.#shared = shared
  }

  /** For `onRoute`. Throws `FST_ORM_BAD_OPTION` and `FST_ORM_IDEMPOTENCY_ROUTE`. */
  arm (route: RouteOptions): void {
    const { url, config } = route
    const methods = [route.method].flat()
    const name = `route ${methods.join()} ${url}`
    const settings = checkRouteOptions(name, config?.idempotency, this.#settings.routes)
    if (settings === undefined) return
    assertCanHaveKeys(name, methods, config?.orm)
    route.config = { ...config, [ARMED]: true } as typeof config

    route.handler = this.#keyed(route.handler, settings, route.constraints)
    route.onSend = [passReply, ...list(route.onSend)] as RouteOptions['onSend'] // before @fastify/compress, which adapts each reply to its client
    route.onError = [...list(route.onError), this.#endWithError] as RouteOptions['onError']
  }

  /** For `preHandler` of an app that had routes before the plugin: `onRoute` has told nothing of those. Throws `FST_ORM_IDEMPOTENCY_ROUTE`. */
  readonly refuseUnarmed = (request: FastifyRequest, _reply: FastifyReply, done: HookHandlerDoneFunction): void => {
    const { config, url } = request.routeOptions
    const isArmed = !config.idempotency || ARMED in config
    done(isArmed ? undefined : new FST_ORM_IDEMPOTENCY_ROUTE(`route ${request.method} ${url}`, 'it was declared before the plugin had loaded. Await app.register(idempotency), or put routes into plugins of their own') as Error)
  }

  /** Takes the key as a part of the handler: all hooks before it have run by then, and `retry` runs it again. */
  #keyed (handler: RouteHandlerMethod, settings: RouteSettings, constraints: RouteOptions['constraints']): RouteHandlerMethod {
    const { header } = this.#settings
    const run = this.#run.bind(this)
    return function (request, reply) {
      const handle = (): unknown => Reflect.apply(handler, this, [request, reply])
      return request.headers[header] === undefined && !settings.required ? handle() : run(request, reply, settings, constraints, handle)
    }
  }

  async #run (
    request: FastifyRequest, reply: FastifyReply, settings: RouteSettings, constraints: RouteOptions['constraints'], handle: () => unknown
  ): Promise<unknown> {
    const attempt = await this.#begin(request, reply, settings, constraints)
    return await attempt.run(handle)
  }

  async #begin (request: FastifyRequest, reply: FastifyReply, settings: RouteSettings, constraints: RouteOptions['constraints']): Promise<KeyedAttempt> {
    this.#refused.delete(request)
    try {
      const keyed = request[KEYED] ??= await this.#open(request, reply, settings, constraints)
      const attempt = await keyed.begin()
      if (attempt.isReplay) tell('replayed', request)
      else if (attempt.isFirst) tell('claimed', request)
      return attempt
    } catch (error) {
      this.#refused.add(request)
      throw error
    }
  }

  async #open (request: FastifyRequest, reply: FastifyReply, settings: RouteSettings, constraints: RouteOptions['constraints']): Promise<KeyedRequest> {
    const { header } = this.#settings
    const value = request.headers[header]
    const route = `${request.method} ${request.routeOptions.url}`
    if (value === undefined) throw new FST_ORM_IDEMPOTENCY_MISSING(route, header)
    const key = keyOf(header, value)
    const scope: unknown = await settings.scope(request)
    if (typeof scope !== 'string' || scope === '') throw new FST_ORM_BAD_OPTION(route, 'scope', 'a function that returns a string which is not empty', `one that returned ${show(scope)}`)
    return new KeyedRequest(this.#shared, settings, route, reply, { id: idOf(scope, key), fingerprint: fingerprintOf(route, request, constraints) })
  }

  /** As the IETF's draft has it: the client is told where it can read on, and when it may try again. */
  readonly #endWithError = (request: FastifyRequest, reply: FastifyReply, error: FastifyError, done: () => void): void => {
    request[KEYED]?.leave()
    if (this.#refused.delete(request)) tell('refused', request, error)
    const { code, statusCode } = error
    const { documentation } = this.#settings
    const isOurs = code?.startsWith('FST_ORM_IDEMPOTENCY_') === true
    if (isOurs && statusCode === 409) reply.header('retry-after', RETRY_AFTER)
    if (isOurs && statusCode! < 500 && documentation !== false) reply.header('link', `<${documentation}>; rel="describedby"; type="text/html"`)
    done()
  }
}

function passReply (request: FastifyRequest, _reply: FastifyReply, payload: unknown, done: (error: Error | null, payload?: unknown) => void): void {
  done(null, request[KEYED]?.pass(payload))
}

function assertCanHaveKeys (route: string, methods: string[], orm: unknown): void {
  const safe = methods.find(method => SAFE_METHODS.includes(method.toUpperCase()))
  const { transaction, readOnly } = (orm ?? {}) as { transaction?: unknown, readOnly?: unknown }
  const problem = safe !== undefined
    ? `${safe} changes nothing`
    : orm === false
      ? 'it has no context (config.orm: false)'
      : transaction === false
        ? 'it has no transaction (transaction: false) that the key could be committed in'
        : readOnly === true ? 'it is readOnly' : undefined
  if (problem !== undefined) throw new FST_ORM_IDEMPOTENCY_ROUTE(route, problem)
}

function tell (result: IdempotencyEvent['result'], { method, routeOptions: { url }, id }: FastifyRequest, error?: unknown): void {
  if (keyedChannel.hasSubscribers) keyedChannel.publish({ result, method, route: url, requestId: id, error } satisfies IdempotencyEvent)
}

function list<T> (hooks: T | T[] | undefined): T[] {
  return hooks === undefined ? [] : [hooks].flat() as T[]
}

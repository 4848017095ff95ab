import type { FastifyReply, FastifyRequest } from 'fastify'

/**
 * The internals of Fastify that the plugin uses, the same in 5.0 and 5.12: its record of each route, from which requests
 * are handled. `onRoute` sees less than that: not the routes that were declared before the plugin has loaded, not the
 * handlers of requests that have no route, and not what plugins that are registered later do in an `onRoute` of theirs.
 */

/** Also for `preSerialization`, which Fastify calls alike. */
export type SendHook = (request: FastifyRequest, reply: FastifyReply, payload: unknown, done: SendDone) => Promise<unknown> | void
export type SendDone = (error?: any, payload?: unknown) => void

/** What handles the requests of a route. */
export type Handler = (this: unknown, request: FastifyRequest, reply: FastifyReply) => unknown

type ErrorHandler = (error: unknown, request: FastifyRequest, reply: FastifyReply) => unknown

/** Each has for a prototype whoever is asked next; the last that has a `func` is Fastify's default. */
interface ErrorHandlerLink {
  func?: ErrorHandler
}

interface RouteRecord {
  preSerialization: SendHook[] | null
  onSend: SendHook[]
  errorHandler: ErrorHandlerLink
  handler: Handler
}

/** What a route is completed with. */
export interface OuterHooks {
  readonly preSerialization: OuterPair
  readonly onSend: OuterPair
  /** Runs when Fastify's default error handler has set status and headers and has logged the error, and sends the reply. */
  readonly afterDefaultErrorHandler: ErrorHandler
  /** What the handler of a route is replaced with that has `retry`. */
  retry (handler: Handler): Handler
  /** The same of one that has `onAbort: 'commit'`. */
  finish (handler: Handler): Handler
  /** What hooks of others are replaced with. */
  wrap (hook: SendHook): SendHook
}

/** Hooks to run before and after those of others, or alone where there are none. */
interface OuterPair {
  readonly first: SendHook
  readonly last: SendHook
  readonly alone: SendHook
}

/** Fastify binds hooks to their instance, and a bound function has the prototype of the one that it binds. */
const ours: object = Object.create(Function.prototype)

/** Marks a hook, for `addHook`, that leaves a route when that is completed. */
export function untilCompleted<Hook extends (...args: never) => unknown> (hook: Hook): Hook {
  return Object.setPrototypeOf(hook, ours)
}

/** Finds and completes the records of one copy of Fastify: another one in the same process has other symbols. */
export class RouteRecords {
  readonly #outer: OuterHooks
  #symbol: symbol | undefined
  /** By what was there before, and by itself. */
  readonly #completed = new WeakMap<object, object>()

  constructor (outer: OuterHooks) {
    this.#outer = outer
  }

  /** `undefined` if Fastify keeps it elsewhere. */
  of (request: FastifyRequest): RouteRecord | undefined {
    this.#symbol ??= symbolOf<RouteRecord>(request, 'fastify.context', isRecord)
    return this.#symbol && (request as unknown as Record<symbol, RouteRecord>)[this.#symbol]
  }

  /**
   * Puts our hooks around all others, and our error handler behind Fastify's default. Also where `reply.callNotFound()`
   * leads to, which is a record for each route. To one that is complete it does nothing.
   */
  complete (record: RouteRecord): void {
    this.#completeOne(record)
    const symbol = symbolOf(record, 'fastify.404ContextKey', isRecord)
    if (symbol !== undefined) this.#completeOne((record as unknown as Record<symbol, RouteRecord>)[symbol]!)
  }

  /** Makes the handler of a route one that is run again, or is finished when its client has left. */
  replaceHandler (record: RouteRecord | undefined, how: 'retry' | 'finish'): void {
    if (record !== undefined) record.handler = this.#outer[how](record.handler)
  }

  #completeOne (record: RouteRecord): void {
    const { preSerialization, onSend } = this.#outer
    record.preSerialization = this.#surround(record.preSerialization ?? [], preSerialization)
    record.onSend = this.#surround(record.onSend, onSend)
    record.errorHandler = this.#extend(record.errorHandler)
  }

  #surround (hooks: SendHook[], { first, last, alone }: OuterPair): SendHook[] {
    return this.#once(hooks, () => {
      const others = hooks.filter(hook => !Object.prototype.isPrototypeOf.call(ours, hook))
      return others.length === 0 ? [alone] : [first, ...others.map(this.#outer.wrap), last]
    })
  }

  /** A chain of our own: Fastify's ends in a link that all apps of the process share. */
  #extend (link: ErrorHandlerLink): ErrorHandlerLink {
    return this.#once(link, () => link.func === undefined
      ? Object.create(link, { func: { value: this.#outer.afterDefaultErrorHandler } })
      : Object.create(this.#extend(Object.getPrototypeOf(link)), Object.getOwnPropertyDescriptors(link)))
  }

  /** Records share lists of hooks and error handlers with each other. */
  #once<T extends object> (original: T, complete: () => T): T {
    let completed = this.#completed.get(original) as T | undefined
    if (completed === undefined) {
      completed = complete()
      this.#completed.set(original, completed).set(completed, completed)
    }
    return completed
  }
}

const IN_ERROR_HOOK = 'fastify.reply.isRunningOnErrorHook'
const IS_ERROR = 'fastify.reply.isError'

/** Whether a reply has what the following functions set. */
export function hasFlags (reply: FastifyReply): boolean {
  return flagOf(reply, IN_ERROR_HOOK) !== undefined && flagOf(reply, IS_ERROR) !== undefined
}

/** Whether Fastify is to refuse what is sent, because the `onError` hooks of the reply run. */
export function inErrorHook (reply: FastifyReply, isIn: boolean): void {
  Reflect.set(reply, flagOf(reply, IN_ERROR_HOOK)!, isIn)
}

/** Sends what a handler has thrown, be it an `Error` or not. */
export function sendThrown (reply: FastifyReply, error: unknown): void {
  if (reply.sent) return reply.log.error({ err: error }, 'A handler has failed whose reply is sent')
  Reflect.set(reply, flagOf(reply, IS_ERROR)!, true)
  reply.send(error)
}

function flagOf (reply: FastifyReply, description: string): symbol | undefined {
  return symbolOf(reply, description, flag => typeof flag === 'boolean')
}

function symbolOf<T> (owner: object, description: string, is: (value: T) => boolean): symbol | undefined {
  return Object.getOwnPropertySymbols(owner)
    .find(symbol => symbol.description === description && is((owner as Record<symbol, T>)[symbol]!))
}

function isRecord (value: Partial<RouteRecord> | null): boolean {
  return value !== null && Array.isArray(value.onSend) && 'preSerialization' in value && typeof value.errorHandler?.func === 'function'
}

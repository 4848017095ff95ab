import type { FastifyReply, FastifyRequest } from 'fastify'

/**
 * The internals of Fastify that the plugin uses, the same in 5.0 and 5.12: its record of each route, from which requests
 * are handled. `onRoute` sees less than that: not the routes that were declared before the plugin has loaded, not the
 * handlers of requests that have no route, and not what plugins that are registered later do in an `onRoute` of theirs.
 */

/** Also for `preSerialization`, which Fastify calls alike. */
export type SendHook = (request: FastifyRequest, reply: FastifyReply, payload: unknown, done: SendDone) => Promise<unknown> | void
export type SendDone = (error?: any, payload?: unknown) => void

export type ErrorHandler = (error: unknown, request: FastifyRequest, reply: FastifyReply) => unknown

/** Each has for a prototype whoever is asked next; the last that has a `func` is Fastify's default. */
interface ErrorHandlerLink {
  func?: ErrorHandler
}

export interface RouteRecord {
  preSerialization: SendHook[] | null
  onSend: SendHook[]
  errorHandler: ErrorHandlerLink
}

/** What a route is completed with. */
export interface Ends {
  readonly preSerialization: HookEnds
  readonly onSend: HookEnds
  /** Runs when Fastify's default error handler has set status and headers and has logged the error, and sends the reply. */
  readonly afterDefaultErrorHandler: ErrorHandler
  /** What hooks of others are replaced with. */
  wrap (hook: SendHook): SendHook
}

/** Hooks to run before and after those of others, or alone where there are none. */
export interface HookEnds {
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
  readonly #ends: Ends
  #symbol: symbol | undefined
  /** By what was there before, and by itself. */
  readonly #completed = new WeakMap<object, object>()

  constructor (ends: Ends) {
    this.#ends = ends
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

  #completeOne (record: RouteRecord): void {
    const { preSerialization, onSend } = this.#ends
    record.preSerialization = this.#surround(record.preSerialization ?? [], preSerialization)
    record.onSend = this.#surround(record.onSend, onSend)
    record.errorHandler = this.#extend(record.errorHandler)
  }

  #surround (hooks: SendHook[], { first, last, alone }: HookEnds): SendHook[] {
    return this.#once(hooks, () => {
      const others = hooks.filter(hook => !Object.prototype.isPrototypeOf.call(ours, hook))
      return others.length === 0 ? [alone] : [first, ...others.map(this.#ends.wrap), last]
    })
  }

  /** A chain of our own: Fastify's ends in a link that all apps of the process share. */
  #extend (link: ErrorHandlerLink): ErrorHandlerLink {
    return this.#once(link, () => link.func === undefined
      ? Object.create(link, { func: { value: this.#ends.afterDefaultErrorHandler } })
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

function symbolOf<T> (owner: object, description: string, is: (value: T) => boolean): symbol | undefined {
  return Object.getOwnPropertySymbols(owner)
    .find(symbol => symbol.description === description && is((owner as Record<symbol, T>)[symbol]!))
}

function isRecord (value: Partial<RouteRecord> | null): boolean {
  return value !== null && Array.isArray(value.onSend) && 'preSerialization' in value && typeof value.errorHandler?.func === 'function'
}

import { Utils } from '@mikro-orm/core'
import type { FastifyReply, FastifyRequest } from 'fastify'

/** What a handler may change of a request that was parsed for it. */
const PARSED = ['body', 'query', 'params'] as const

/** A request and its reply as the handler gets them, to make them so again: what plugins have set on them before stays. */
export class PristineReply {
  readonly #request: FastifyRequest
  readonly #reply: FastifyReply
  readonly #parsed: Record<string, unknown>
  readonly #own: Record<PropertyKey, unknown>
  readonly #statusCode: number
  readonly #rawHeaders: Record<string, unknown>

  constructor (request: FastifyRequest, reply: FastifyReply) {
    this.#request = request
    this.#reply = reply
    this.#parsed = Utils.copy(Object.fromEntries(PARSED.map(key => [key, request[key]])))
    this.#own = copyEach(reply)
    this.#statusCode = reply.raw.statusCode
    this.#rawHeaders = { ...reply.raw.getHeaders() }
  }

  restore (): void {
    const { raw } = this.#reply
    Object.assign(this.#request, Utils.copy(this.#parsed))
    for (const key of Reflect.ownKeys(this.#reply)) if (!Object.hasOwn(this.#own, key)) Reflect.deleteProperty(this.#reply, key)
    Object.assign(this.#reply, copyEach(this.#own))
    raw.statusCode = this.#statusCode
    for (const name of raw.getHeaderNames()) raw.removeHeader(name)
    for (const [name, value] of Object.entries(this.#rawHeaders)) raw.setHeader(name, value as string)
  }
}

/** The own properties of an object, symbols of Fastify's and of plugins' included. */
function copyEach (owner: object): Record<PropertyKey, unknown> {
  return Object.fromEntries(Reflect.ownKeys(owner).map(key => [key, copyContainer(Reflect.get(owner, key))]))
}

/** Headers and cookies are kept in objects that are changed in place. */
function copyContainer (value: unknown): unknown {
  if (Array.isArray(value)) return [...value]
  if (value instanceof Map) return new Map(value)
  if (value instanceof Set) return new Set(value)
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, Array.isArray(item) ? [...item] : item]))
}

import type { FastifyRequest, RouteOptions } from 'fastify'
import { createHash } from 'node:crypto'
import { hasBody } from '../../util/has-body.ts'
import { FST_ORM_IDEMPOTENCY_BODY } from './errors.ts'

/**
 * SHA-256 of what makes a request the same as another: method, URL and body, and by what else its route was chosen, such as a host. Of a
 * body that was parsed into objects, the order of keys does not count. Throws `FST_ORM_IDEMPOTENCY_BODY`.
 */
export function fingerprintOf (route: string, request: FastifyRequest, constraints: RouteOptions['constraints'] = {}): string {
  const { method, url, body, headers } = request
  if (body === undefined && hasBody(headers)) throw new FST_ORM_IDEMPOTENCY_BODY(route, 'left to the handler to read (multipart, for example)')
  const hash = createHash('sha256').update(`${JSON.stringify([method, url, ...namesOf(constraints)])}\n`)
  return hash.update(canonical(body, what => new FST_ORM_IDEMPOTENCY_BODY(route, what))).digest('hex')
}

/** A value may be a regular expression. */
function namesOf (constraints: object): string[] {
  return Object.entries(constraints).map(([name, value]) => `${name}: ${value}`).sort()
}

/** JSON with sorted keys; values that JSON does not have are told apart from those that it has. */
function canonical (value: unknown, refuse: (what: string) => Error): string {
  if (value === null || typeof value !== 'object') return typeof value === 'bigint' || value === undefined ? `${typeof value} ${value}` : primitive(value, refuse)
  if (Array.isArray(value)) return `[${value.map(item => canonical(item, refuse)).join()}]`
  if (value instanceof Date) return `date ${value.getTime()}`
  if (ArrayBuffer.isView(value)) return `bytes ${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex')}`
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) throw refuse(`or holds ${value.constructor.name === '' ? 'an object of a class' : `a ${value.constructor.name}`}`)
  const pairs = Object.keys(value).sort().map(key => `${JSON.stringify(key)}:${canonical((value as Record<string, unknown>)[key], refuse)}`)
  return `{${pairs.join()}}`
}

function primitive (value: unknown, refuse: (what: string) => Error): string {
  if (typeof value === 'function' || typeof value === 'symbol') throw refuse(`or holds a ${typeof value}`)
  return JSON.stringify(value)
}

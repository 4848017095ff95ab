import type { MikroORM } from '@mikro-orm/core'
import Fastify, { type FastifyRequest } from 'fastify'
import { em } from 'fastify-context-orm'
import idempotency, {
  deleteExpiredKeys, IdempotencyKey, type IdempotencyOptions, type IdempotencyRouteOptions
} from 'fastify-context-orm/idempotency'
import { describe, expect, test } from 'tstyche'

const app = Fastify()
const handler = async () => 'done'
declare const orm: MikroORM

describe('idempotency keys', () => {
  test('the plugin has options, each of which is optional', () => {
    app.register(idempotency)
    app.register(idempotency, { orm: 'default', header: 'x-key', documentation: false, cleanUpEvery: 60_000 })
    app.register(idempotency, { orm, required: true, maxAge: 1, maxBytes: 1, wait: 0, omitHeaders: ['etag'] })
    expect<IdempotencyOptions>().type.not.toBeAssignableFrom({ unknown: 1 })
    expect<IdempotencyOptions>().type.not.toBeAssignableFrom({ wait: '1 s' })
  })

  test('scope gets the request, and gives a string', () => {
    app.register(idempotency, {
      scope (request) {
        expect(request).type.toBe<FastifyRequest>()
        return request.ip
      }
    })
    app.register(idempotency, { scope: async request => request.ip })
    expect<IdempotencyOptions>().type.not.toBeAssignableFrom({ scope: () => undefined })
  })

  test('a route says whether it has them, and how', () => {
    for (const idempotency of [true, false]) app.post('/', { config: { idempotency } }, handler)
    app.post('/', { config: { idempotency: { required: true }, orm: { onAbort: 'commit' } } }, handler)
    app.post('/', { config: { other: 1 } }, async request => {
      expect(request.routeOptions.config.idempotency).type.toBe<boolean | IdempotencyRouteOptions | undefined>()
    })
    expect<IdempotencyRouteOptions>().type.not.toBeAssignableFrom({ header: 'x-key' })
  })

  test('the table is an entity', async () => {
    const key = await em().findOneOrFail(IdempotencyKey, { id: 'a' })
    expect(key.expiresAt).type.toBe<number>()
    expect(key.status).type.toBe<number | null | undefined>()
  })

  test('deleteExpiredKeys() gives a number', () => {
    expect(deleteExpiredKeys()).type.toBe<Promise<number>>()
    expect(deleteExpiredKeys).type.toBeCallableWith({ orm, batch: 100, signal: AbortSignal.timeout(1) })
    expect(deleteExpiredKeys).type.not.toBeCallableWith('default')
  })
})

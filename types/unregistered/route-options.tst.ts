import { IsolationLevel } from '@mikro-orm/core'
import Fastify, { type FastifyContextConfig, type FastifyReply, type FastifyRequest, type RouteGenericInterface } from 'fastify'
import type { RouteOrmOptions } from 'fastify-context-orm'
import { describe, expect, test } from 'tstyche'

const app = Fastify()
const handler = async () => 'done'

describe('config.orm of a route', () => {
  test('has options, each of which is optional', () => {
    app.get('/', { config: { orm: {} } }, handler)
    app.get('/', { config: { orm: { transaction: false } } }, handler)
    app.get('/', { config: { orm: { transaction: 'on-query', isolationLevel: 'serializable', readOnly: true } } }, handler)
    app.route({ method: 'GET', url: '/', config: { orm: { isolationLevel: IsolationLevel.SNAPSHOT } }, handler })
    app.get('/', { config: { orm: { retry: 3 } } }, handler)
    app.get('/', { config: { orm: { retry: { attempts: 3, delay: attempt => attempt * 10, when: error => error instanceof TypeError } } } }, handler)
  })

  test('is false for no context', () => {
    app.get('/', { config: { orm: false } }, handler)
  })

  test('stands beside the config of others', () => {
    app.get('/', { config: { orm: { readOnly: true }, other: 1 } }, handler)
    app.get('/', { config: { other: 1 } }, async request => {
      expect(request.routeOptions.config.orm).type.toBe<RouteOrmOptions | false | undefined>()
    })
  })

  test('asks its shouldCommit with request and reply', () => {
    app.get('/', {
      config: {
        orm: {
          shouldCommit (request, reply) {
            expect(request).type.toBe<FastifyRequest>()
            expect(reply).type.toBe<FastifyReply>()
            return reply.statusCode !== 409
          }
        }
      }
    }, handler)
  })

  test('refuses wrong values', () => {
    // @ts-expect-error Type '{ transaction: "on-read"; }' is not assignable to type 'false'.
    app.get('/', { config: { orm: { transaction: 'on-read' } } }, handler)
    // @ts-expect-error Type 'string' is not assignable to type 'number'.
    app.get('/', { config: { orm: { retry: { attempts: 'three' } } } }, handler)
    // @ts-expect-error Type '{ isolationLevel: "serialisable"; }' is not assignable to type 'false'.
    app.get('/', { config: { orm: { isolationLevel: 'serialisable' } } }, handler)
    // @ts-expect-error Type '{ readOnly: number; }' is not assignable to type 'false'.
    app.get('/', { config: { orm: { readOnly: 1 } } }, handler)
    // @ts-expect-error Type 'string' is not assignable to type 'boolean'.
    app.get('/', { config: { orm: { shouldCommit: async () => 'yes' } } }, handler)
    // @ts-expect-error Type '{ orm: true; }' is not assignable to type 'undefined'.
    app.get('/', { config: { orm: true } }, handler)
    // @ts-expect-error Type 'string' is not assignable to type 'never'.
    app.get('/', { config: { orm: 'false' } }, handler)
  })
})

/** Fastify infers the type of `config` from what it is given, nested keys included: there, only start-up refuses these. */
describe('config.orm of a route whose type is not inferred from it', () => {
  test('refuses wrong keys', () => {
    // @ts-expect-error 'readonly' does not exist in type 'RouteOrmOptions
    app.get<RouteGenericInterface>('/', { config: { orm: { readonly: true } } }, handler)
    // @ts-expect-error 'readonly' does not exist in type 'RouteOrmOptions
    app.get('/', { config: { orm: { readonly: true } satisfies RouteOrmOptions } }, handler)
    // @ts-expect-error 'readonly' does not exist in type 'RouteOrmOptions
    app.get('/', { config: { orm: { readonly: true } } satisfies FastifyContextConfig }, handler)
  })
})

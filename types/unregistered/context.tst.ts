import type { EntityManager, MikroORM } from '@mikro-orm/core'
import Fastify from 'fastify'
import { em, type ContextEntityManager, type Register, type RegisteredOrm } from 'fastify-context-orm'
import { describe, expect, test } from 'tstyche'

declare const another: MikroORM

const app = Fastify()

describe('without a registered MikroORM', () => {
  test('em() is the EntityManager of any driver', () => {
    expect(em()).type.toBe<EntityManager>()
    expect(em('reporting')).type.toBe<EntityManager>()
    expect(em()).type.not.toHaveProperty('createQueryBuilder')
    expect<ContextEntityManager>().type.toBe<EntityManager>()
  })

  test('so is request.em', () => {
    app.get('/', async function (request) {
      expect(request.em).type.toBe<EntityManager>()
      expect(request.server.orm).type.toBe<MikroORM>()
      expect(this.orm).type.toBe<MikroORM>()
    })
    app.addHook<{ Body: string }>('preHandler', async request => {
      expect(request.em).type.toBe<EntityManager>()
    })
  })

  test('fastify.orm is a MikroORM of any driver', () => {
    expect(app.orm).type.toBe<MikroORM>()
    expect<RegisteredOrm>().type.toBe<MikroORM>()
    expect<Register>().type.not.toHaveProperty('orm')
  })

  test('none of them can be replaced', () => {
    // @ts-expect-error Cannot assign to 'orm' because it is a read-only property.
    app.orm = another
    app.get('/', async request => {
      // @ts-expect-error Cannot assign to 'em' because it is a read-only property.
      request.em = another.em
    })
  })

  test('a database is named by a string', () => {
    expect(em).type.toBeCallableWith()
    expect(em).type.toBeCallableWith('reporting')
    expect(em).type.not.toBeCallableWith(1)
  })
})

import { MikroORM, type SqlEntityManager, type SqliteDriver } from '@mikro-orm/sqlite'
import Fastify from 'fastify'
import contextOrm, { em, type ContextEntityManager, type RegisteredOrm } from 'fastify-context-orm'
import { describe, expect, test } from 'tstyche'

const orm = await MikroORM.init({ dbName: ':memory:', entities: [] })

declare module 'fastify-context-orm' {
  interface Register { orm: typeof orm }
}

const app = Fastify()
app.register(contextOrm, { orm })

describe('a registered MikroORM', () => {
  test('gives em() its EntityManager', () => {
    expect(em()).type.toBe<typeof orm.em>()
    expect(em('other')).type.toBe<typeof orm.em>()
    expect(em()).type.toBeAssignableTo<SqlEntityManager<SqliteDriver>>()
    expect(em()).type.toHaveProperty('createQueryBuilder')
    expect(em()).type.toHaveProperty('getKysely')
    expect<ContextEntityManager>().type.toBe<typeof orm.em>()
  })

  test('gives requests its EntityManager', () => {
    app.get('/', async function (request) {
      expect(request.em).type.toBe<typeof orm.em>()
      expect(request.server.orm).type.toBe<typeof orm>()
      expect(this.orm).type.toBe<typeof orm>()
    })
  })

  test('is the one of the app', () => {
    expect(app.orm).type.toBe<typeof orm>()
    expect<RegisteredOrm>().type.toBe<typeof orm>()
  })
})

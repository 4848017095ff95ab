import { MikroORM as PostgreSqlMikroORM, type PostgreSqlDriver } from '@mikro-orm/postgresql'
import { MikroORM as SqliteMikroORM } from '@mikro-orm/sqlite'
import Fastify from 'fastify'
import contextOrm, { em, type ContextEntityManager, type RegisteredOrm } from 'fastify-context-orm'
import { describe, expect, test } from 'tstyche'

const main = await PostgreSqlMikroORM.init({ contextName: 'main', entities: [] })
const reporting = await SqliteMikroORM.init({ contextName: 'reporting', entities: [] })

declare module 'fastify-context-orm' {
  interface Register { orm: [typeof main, typeof reporting] }
}

const app = Fastify()
app.register(contextOrm, { orm: [main, reporting] })

describe('of several registered MikroORMs, the first', () => {
  test('gives em() and requests its EntityManager', () => {
    expect(em()).type.toBe<typeof main.em>()
    expect(em().getDriver()).type.toBe<PostgreSqlDriver>()
    expect<ContextEntityManager>().type.toBe<typeof main.em>()
    app.get('/', async request => {
      expect(request.em).type.toBe<typeof main.em>()
    })
  })

  test('is the one of the app', () => {
    expect(app.orm).type.toBe<typeof main>()
    expect<RegisteredOrm>().type.toBe<typeof main>()
  })
})

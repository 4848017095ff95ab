import { MikroORM as PostgreSqlMikroORM, type PostgreSqlDriver } from '@mikro-orm/postgresql'
import { MikroORM as SqliteMikroORM, type SqliteDriver } from '@mikro-orm/sqlite'
import Fastify from 'fastify'
import contextOrm, { commit, em, rollback, switchable, type ContextEntityManager, type DatabaseName, type NamedEntityManager } from 'fastify-context-orm'
import { describe, expect, test } from 'tstyche'

const main = await switchable(host => PostgreSqlMikroORM.init({ host, entities: [] }), 'localhost')
const reporting = await SqliteMikroORM.init({ contextName: 'reporting', entities: [] })

declare module 'fastify-context-orm' {
  interface Register {
    orm: typeof main
    orms: { default: typeof main, reporting: typeof reporting }
  }
}

const app = Fastify()
app.register(contextOrm, { orm: [main, reporting] })

describe('registered by name', () => {
  test('each database has an EntityManager of its own type', () => {
    expect(em().getDriver()).type.toBe<PostgreSqlDriver>()
    expect(em('default').getDriver()).type.toBe<PostgreSqlDriver>()
    expect(em('reporting').getDriver()).type.toBe<SqliteDriver>()
    expect<ContextEntityManager>().type.toBe<typeof main.orm.em>()
    expect<NamedEntityManager<'reporting'>>().type.toBe<typeof reporting.em>()
  })

  test('there is no other name', () => {
    expect<DatabaseName>().type.toBe<'default' | 'reporting'>()
    expect(em).type.not.toBeCallableWith('archive')
    expect(commit).type.toBeCallableWith('reporting')
    expect(commit).type.not.toBeCallableWith('archive')
    expect(rollback).type.not.toBeCallableWith('archive')
  })

  test('the app has all of them, of one that moves what it is at present', () => {
    expect(app.orm).type.toBe<typeof main.orm>()
    expect(app.orms.default).type.toBe<typeof main.orm>()
    expect(app.orms.reporting).type.toBe<typeof reporting>()
    expect(app.orms).type.not.toHaveProperty('archive')
  })
})

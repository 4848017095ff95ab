import { MikroORM } from '@mikro-orm/core'
import { MikroORM as PostgreSqlMikroORM } from '@mikro-orm/postgresql'
import { MikroORM as SqliteMikroORM, SqlEntityManager, SqliteDriver } from '@mikro-orm/sqlite'
import Fastify, { type FastifyReply, type FastifyRequest } from 'fastify'
import contextOrm, { type ContextOrmOptions, type ShouldCommit, type TransactionMode } from 'fastify-context-orm'
import { describe, expect, test } from 'tstyche'

class ExtendedEntityManager extends SqlEntityManager<SqliteDriver> {
  extra = true
}

const app = Fastify()
const sqlite = new SqliteMikroORM({ entities: [] })
const postgresql = await PostgreSqlMikroORM.init({ entities: [] })
const core = await MikroORM.init({ driver: SqliteDriver, entities: [] })
const extended = await SqliteMikroORM.init({ entities: [], entityManager: ExtendedEntityManager })

describe('the option orm', () => {
  test('is a MikroORM of any driver', () => {
    app.register(contextOrm, { orm: sqlite })
    app.register(contextOrm, { orm: postgresql })
    app.register(contextOrm, { orm: core })
    app.register(contextOrm, { orm: extended })
    expect<ContextOrmOptions['orm']>().type.toBeAssignableFrom<MikroORM>()
  })

  test('or several', () => {
    app.register(contextOrm, { orm: [sqlite, postgresql, core] })
    app.register(contextOrm, { orm: [sqlite, postgresql] as const })
  })

  test('or a promise or function that gives either', () => {
    app.register(contextOrm, { orm: SqliteMikroORM.init({ entities: [] }) })
    app.register(contextOrm, { orm: () => sqlite })
    app.register(contextOrm, { orm: () => [sqlite, postgresql] })
    app.register(contextOrm, { orm: () => PostgreSqlMikroORM.init({ entities: [] }) })
    app.register(contextOrm, { orm: async () => [sqlite, postgresql] as const })
  })

  test('and nothing else', () => {
    expect<ContextOrmOptions['orm']>().type.not.toBeAssignableFrom(sqlite.em)
    expect<ContextOrmOptions['orm']>().type.not.toBeAssignableFrom({ entities: [] })
    expect<ContextOrmOptions['orm']>().type.not.toBeAssignableFrom(() => sqlite.em)
    expect<ContextOrmOptions['orm']>().type.not.toBeAssignableFrom(undefined)
  })

  test('is required', () => {
    // @ts-expect-error Property 'orm' is missing
    app.register(contextOrm)
    // @ts-expect-error Argument of type '{}' is not assignable to parameter of type 'FastifyRegisterOptions<ContextOrmOptions>'.
    app.register(contextOrm, {})
  })
})

describe('the other options', () => {
  test('are optional, beside those of register()', () => {
    app.register(contextOrm, { orm: sqlite, transaction: 'on-query', shouldCommit: () => true, prefix: '/api' })
    app.register(contextOrm, () => ({ orm: sqlite }))
    expect<TransactionMode>().type.toBe<'on-write' | 'on-query' | false>()
  })

  test('refuse what they are not', () => {
    // @ts-expect-error Type '"on-read"' is not assignable to type 'TransactionMode | undefined'.
    app.register(contextOrm, { orm: sqlite, transaction: 'on-read' })
    // @ts-expect-error Type 'true' is not assignable to type 'TransactionMode | undefined'.
    app.register(contextOrm, { orm: sqlite, transaction: true })
    // @ts-expect-error 'isolationLevel' does not exist in type 'FastifyRegisterOptions<ContextOrmOptions>'.
    app.register(contextOrm, { orm: sqlite, isolationLevel: 'serializable' })
    // @ts-expect-error Type 'string' is not assignable to type 'boolean'.
    app.register(contextOrm, { orm: sqlite, shouldCommit: async () => 'yes' })
  })
})

test('shouldCommit is asked with request and reply', () => {
  expect<Parameters<ShouldCommit>>().type.toBe<[request: FastifyRequest, reply: FastifyReply]>()
  expect<ReturnType<ShouldCommit>>().type.toBe<boolean | Promise<boolean>>()
  app.register(contextOrm, {
    orm: sqlite,
    async shouldCommit (request, reply) {
      expect(request).type.toBe<FastifyRequest>()
      expect(reply).type.toBe<FastifyReply>()
      return reply.statusCode !== 409
    }
  })
})

test('any Fastify can register it', () => {
  expect(Fastify({ http2: true }).register).type.toBeCallableWith(contextOrm, { orm: sqlite })
  expect(Fastify({ loggerInstance: { ...app.log, extra: true } }).register).type.toBeCallableWith(contextOrm, { orm: sqlite })
})

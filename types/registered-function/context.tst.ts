import { MikroORM } from '@mikro-orm/sqlite'
import Fastify from 'fastify'
import contextOrm, { em, type RegisteredOrm } from 'fastify-context-orm'
import { expect, test } from 'tstyche'

type Orm = MikroORM

async function openDatabases (): Promise<Orm[]> {
  return [new MikroORM({ entities: [] })]
}

declare module 'fastify-context-orm' {
  interface Register { orm: typeof openDatabases }
}

test('a registered function is taken for the MikroORM, of several the first, that it gives', () => {
  const app = Fastify()
  app.register(contextOrm, { orm: openDatabases })
  expect(em()).type.toBe<Orm['em']>()
  expect(app.orm).type.toBe<Orm>()
  expect<RegisteredOrm>().type.toBe<Orm>()
})

// `NODE_OPTIONS=--experimental-vm-modules jest`: MikroORM 7 and this plugin are ES modules
import { afterAll, afterEach, beforeEach, expect, test } from '@jest/globals'
import { MikroORM, defineEntity, p } from '@mikro-orm/sqlite'
import Fastify from 'fastify'
import contextOrm, { em } from 'fastify-context-orm'
import { createSandbox } from 'fastify-context-orm/testing'

const Book = defineEntity({
  name: 'Book',
  properties: { id: p.integer().primary(), title: p.string().unique() }
})

const orm = await MikroORM.init({ entities: [Book], dbName: ':memory:' })
await orm.schema.create()
const app = Fastify()
await app.register(contextOrm, { orm: () => orm })
app.post('/books', async ({ body: { title } }) => em().create(Book, { title }))

let sandbox
beforeEach(async () => { sandbox = await createSandbox(orm) })
afterEach(() => sandbox.rollback())
afterAll(() => app.close())

const add = payload => sandbox.run(() => app.inject({ method: 'POST', url: '/books', payload }))

for (const time of ['first', 'second']) {
  test(`a book is added, the ${time} time`, async () => {
    expect((await add({ title: 'Emma' })).json()).toMatchObject({ title: 'Emma' })
    expect((await add({ title: 'Emma' })).statusCode).toBe(409)
    expect(await sandbox.em.count(Book)).toBe(1)
  })
}

import { MikroORM, defineEntity, p } from '@mikro-orm/sqlite'
import Fastify from 'fastify'
import contextOrm, { em } from 'fastify-context-orm'
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'

const Book = defineEntity({
  name: 'Book',
  properties: { id: p.integer().primary(), title: p.string() }
})
const orm = await MikroORM.init({ dbName: ':memory:', entities: [Book] })
await orm.schema.create()

const app = Fastify()
app.register(contextOrm, { orm })
app.post('/books', async request => em().create(Book, request.body))
app.post('/failing', async request => {
  request.em.create(Book, request.body)
  await request.em.flush()
  throw new Error('on purpose')
})

const created = await app.inject({ method: 'POST', url: '/books', payload: { title: 'kept' } })
assert.deepEqual([created.statusCode, created.json()], [200, { id: 1, title: 'kept' }])

const failed = await app.inject({ method: 'POST', url: '/failing', payload: { title: 'lost' } })
assert.deepEqual([failed.statusCode, failed.json().message], [500, 'on purpose'])

const books = await orm.em.fork().findAll(Book)
assert.deepEqual(books.map(book => book.title), ['kept'])

const required = createRequire(import.meta.url)('fastify-context-orm')
assert.equal(required.default, contextOrm)
assert.equal(required.em, em)

const { createSandbox } = await import('fastify-context-orm/testing')
const sandbox = await createSandbox(orm)
const sandboxed = await sandbox.run(() => app.inject({ method: 'POST', url: '/books', payload: { title: 'never' } }))
assert.equal(sandboxed.statusCode, 200)
assert.equal(await sandbox.em.count(Book), 2)
await sandbox.rollback()
assert.equal(await orm.em.fork().count(Book), 1)
assert.equal(createRequire(import.meta.url)('fastify-context-orm/testing').createSandbox, createSandbox)

await app.close()
await orm.close()
console.log(`the package works on Node ${process.version}, imported and required`)

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

const { default: idempotency, IdempotencyKey } = await import('fastify-context-orm/idempotency')
const keyed = Fastify()
keyed.register(contextOrm, { orm: () => MikroORM.init({ dbName: ':memory:', entities: [Book, IdempotencyKey] }) })
await keyed.register(idempotency)
await keyed.orm.schema.create()
keyed.post('/books', { config: { idempotency: true } }, async request => em().create(Book, request.body))
const send = () => keyed.inject({ method: 'POST', url: '/books', headers: { 'idempotency-key': 'one' }, payload: { title: 'once' } })
assert.equal((await send()).payload, (await send()).payload)
assert.equal(await keyed.orm.em.fork().count(Book), 1)
assert.equal(createRequire(import.meta.url)('fastify-context-orm/idempotency').default, idempotency)
await keyed.close()

const { default: inspector } = await import('fastify-context-orm/inspector')
const inspected = Fastify()
inspected.register(contextOrm, { orm: () => MikroORM.init({ dbName: ':memory:', entities: [Book] }) })
const hasPreact = (() => { try { return import.meta.resolve('preact') !== '' } catch { return false } })()
if (hasPreact) {
  await inspected.register(inspector)
  for (const path of ['', '/style.css', '/inspector.js', '/preact.js', '/htm.js', '/contexts']) assert.equal((await inspected.inject(`/_orm${path}`)).statusCode, 200, path)
} else {
  await assert.rejects(async () => { await inspected.register(inspector) }, { code: 'FST_ORM_INSPECTOR_PACKAGE' })
}
await inspected.close()

await app.close()
await orm.close()
console.log(`the package works on Node ${process.version}, imported and required`)

/** `tap --disable-coverage node-tap.ts`, on the PostgreSQL that TEST_DATABASE_URL names. `.taprc` is beside this file. */
import t from 'tap'
import { allowSandboxes, createSandbox } from 'fastify-context-orm/testing'
import { buildApp } from './app.ts'
import { Book, openDatabase } from './database.ts'

// so many tests run at the same time, on a connection each
t.jobs = 4

// what the function opens is closed with the app
const app = buildApp({ orm: () => openDatabase({ connections: t.jobs }) })
allowSandboxes(app)
await app.listen({ port: 0 })
t.teardown(() => app.close())

t.test('a book is added', async t => {
  await using sandbox = await createSandbox(app.orm)
  await sandbox.run(async () => {
    const response = await app.inject({ method: 'POST', url: '/books', payload: { title: 'Emma' } })
    t.equal(response.statusCode, 200)
  })
  t.match(await sandbox.em.findAll(Book), [{ title: 'Emma', stock: 3 }])
})

t.test('books are listed: all that there are, which nobody else changes', async t => {
  await using sandbox = await createSandbox(app.orm)
  for (const title of ['Persuasion', 'Emma']) sandbox.em.create(Book, { title })
  const response = await sandbox.run(() => app.inject('/books'))
  t.match(response.json(), [{ title: 'Emma' }, { title: 'Persuasion' }])
})

t.test('the last copy is sold once', async t => {
  await using sandbox = await createSandbox(app.orm)
  const book = sandbox.em.create(Book, { title: 'Emma', stock: 1 })
  await sandbox.em.flush()                                // for its id
  await sandbox.run(async () => {
    const order = () => app.inject({ method: 'POST', url: `/books/${book.id}/order` })
    t.equal((await order()).statusCode, 200)
    t.equal((await order()).statusCode, 409)
  })
  t.equal((await sandbox.em.findOneOrFail(Book, book.id)).stock, 0)
})

t.test('a book is ordered by a real client', async t => {
  await using sandbox = await createSandbox(app.orm)
  const book = sandbox.em.create(Book, { title: 'Emma' })
  await sandbox.em.flush()
  const url = `${app.listeningOrigin}/books/${book.id}/order`
  const response = await fetch(url, { method: 'POST', headers: sandbox.headers })
  t.strictSame(await response.json(), { id: book.id, title: 'Emma', stock: 2 })
  t.equal(await sandbox.em.count(Book), 1)
})

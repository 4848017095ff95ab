/** `node --test node-test.ts`, on the PostgreSQL that TEST_DATABASE_URL names. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { allowSandboxes, createSandbox } from 'fastify-context-orm/testing'
import { buildApp } from './app.ts'
import { Book, openDatabase } from './database.ts'

/** So many tests run at the same time, on a connection each. */
const AT_ONCE = 4

// what the function opens is closed with the app
const app = buildApp({ orm: () => openDatabase({ connections: AT_ONCE }) })
allowSandboxes(app)
before(async () => { await app.listen({ port: 0 }) })
after(() => app.close())

describe('books', { concurrency: AT_ONCE }, () => {
  it('a book is added', async () => {
    await using sandbox = await createSandbox(app.orm)
    await sandbox.run(async () => {
      const response = await app.inject({ method: 'POST', url: '/books', payload: { title: 'Emma' } })
      assert.equal(response.statusCode, 200)
    })
    assert.equal((await sandbox.em.findOneOrFail(Book, { title: 'Emma' })).stock, 3)
  })

  it('books are listed: all that there are, which nobody else changes', async () => {
    await using sandbox = await createSandbox(app.orm)
    for (const title of ['Persuasion', 'Emma']) sandbox.em.create(Book, { title })
    const response = await sandbox.run(() => app.inject('/books'))
    assert.deepEqual(response.json().map((book: { title: string }) => book.title), ['Emma', 'Persuasion'])
  })

  it('the last copy is sold once', async () => {
    await using sandbox = await createSandbox(app.orm)
    const book = sandbox.em.create(Book, { title: 'Emma', stock: 1 })
    await sandbox.em.flush()                              // for its id
    await sandbox.run(async () => {
      const order = () => app.inject({ method: 'POST', url: `/books/${book.id}/order` })
      assert.equal((await order()).statusCode, 200)
      assert.equal((await order()).statusCode, 409)
    })
    assert.equal((await sandbox.em.findOneOrFail(Book, book.id)).stock, 0)
  })

  it('a book is ordered by a real client', async () => {
    await using sandbox = await createSandbox(app.orm)
    const book = sandbox.em.create(Book, { title: 'Emma' })
    await sandbox.em.flush()
    const url = `${app.listeningOrigin}/books/${book.id}/order`
    const response = await fetch(url, { method: 'POST', headers: sandbox.headers })
    assert.deepEqual(await response.json(), { id: book.id, title: 'Emma', stock: 2 })
    assert.equal(await sandbox.em.count(Book), 1)
  })
})

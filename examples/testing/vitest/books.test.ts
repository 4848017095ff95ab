/** `vitest run`, on the PostgreSQL that TEST_DATABASE_URL names. */
import { afterAll, beforeAll, test as base } from 'vitest'
import { allowSandboxes, createSandbox, type TestSandbox } from 'fastify-context-orm/testing'
import { buildApp } from '../app.ts'
import { Book, openDatabase } from '../database.ts'

/** So many tests run at the same time, on a connection each: vitest's own default of `maxConcurrency`. */
const AT_ONCE = 5

// what the function opens is closed with the app
const app = buildApp({ orm: () => openDatabase({ connections: AT_ONCE }) })
allowSandboxes(app)
beforeAll(async () => { await app.listen({ port: 0 }) })
afterAll(() => app.close())

/** A test that asks for `sandbox` has one of its own, which is rolled back when the test is over, passed or failed. */
const test = base.extend<{ sandbox: TestSandbox }>({
  // eslint-disable-next-line no-empty-pattern
  async sandbox ({}, use) {
    await using sandbox = await createSandbox(app.orm)
    await use(sandbox)
  }
})

// `expect` is that of the test: the common one does not know which of those that run at once it belongs to
test.concurrent('a book is added', async ({ sandbox, expect }) => {
  await sandbox.run(async () => {
    const response = await app.inject({ method: 'POST', url: '/books', payload: { title: 'Emma' } })
    expect(response.statusCode).toBe(200)
  })
  expect(await sandbox.em.findAll(Book)).toMatchObject([{ title: 'Emma', stock: 3 }])
})

test.concurrent('books are listed: all that there are, which nobody else changes', async ({ sandbox, expect }) => {
  for (const title of ['Persuasion', 'Emma']) sandbox.em.create(Book, { title })
  const response = await sandbox.run(() => app.inject('/books'))
  expect(response.json()).toMatchObject([{ title: 'Emma' }, { title: 'Persuasion' }])
})

test.concurrent('the last copy is sold once', async ({ sandbox, expect }) => {
  const book = sandbox.em.create(Book, { title: 'Emma', stock: 1 })
  await sandbox.em.flush()                                // for its id
  await sandbox.run(async () => {
    const order = () => app.inject({ method: 'POST', url: `/books/${book.id}/order` })
    expect((await order()).statusCode).toBe(200)
    expect((await order()).statusCode).toBe(409)
  })
  expect(await sandbox.em.findOneOrFail(Book, book.id)).toMatchObject({ stock: 0 })
})

test.concurrent('a book is ordered by a real client', async ({ sandbox, expect }) => {
  const book = sandbox.em.create(Book, { title: 'Emma' })
  await sandbox.em.flush()
  const url = `${app.listeningOrigin}/books/${book.id}/order`
  const response = await fetch(url, { method: 'POST', headers: sandbox.headers })
  expect(await response.json()).toEqual({ id: book.id, title: 'Emma', stock: 2 })
  expect(await sandbox.em.count(Book)).toBe(1)
})

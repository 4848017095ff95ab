import { afterCommit, afterRollback, commit, em, runInContext } from '../index.ts'
import { createSandbox } from '../testing.ts'
import { Book, onEachDatabase } from './support/databases.ts'
import { startServer } from './support/server.ts'

onEachDatabase('what a test arranges, a request does and the test sees is one transaction, which is never committed', async (t, { orm, titles, taken }) => {
  const { app } = await startServer(t, { orm }, app => {
    app.post('/books/:id/order', async request => {
      const book = await em().findOneOrFail(Book, Number((request.params as any).id))
      book.stock--
      return book
    })
    app.post('/books', async request => {
      await em().insert(Book, request.body as any)
      return 'ok'
    })
  })
  const sandbox = await createSandbox(orm)
  const book = sandbox.em.create(Book, { title: 'Emma' })
  await sandbox.em.flush()
  const response = await sandbox.run(() => app.inject({ method: 'POST', url: `/books/${book.id}/order` }))
  t.equal(response.statusCode, 200, response.payload)
  t.match(response.json(), { title: 'Emma', stock: 2 })
  t.equal(await sandbox.em.findOne(Book, { title: 'Emma' }), book)
  t.equal(book.stock, 2, 'as it is in the database')
  t.equal((await sandbox.run(() => app.inject({ method: 'POST', url: '/books', payload: { title: 'Emma' } }))).statusCode, 409)
  t.equal((await sandbox.run(() => app.inject({ method: 'POST', url: '/books', payload: { title: 'Persuasion' } }))).statusCode, 200)
  t.equal(await sandbox.em.count(Book), 2)
  await sandbox.rollback()
  await sandbox.rollback()
  t.strictSame(await titles(), [])
  t.equal(taken(), 0)
})

onEachDatabase('contexts settle as they do otherwise', async (t, { orm, titles, taken }) => {
  await using sandbox = await createSandbox(orm)
  const told: string[] = []
  await sandbox.run(() => runInContext({ orm }, async () => {
    afterCommit(async () => { told.push(`committed ${await em().count(Book)}`) })
    em().create(Book, { title: 'a' } as any)
    await commit()
    em().create(Book, { title: 'b' } as any)
  }))
  await t.rejects(sandbox.run(() => runInContext({ orm }, async () => {
    afterRollback(() => { told.push('rolled back') })
    await em().insert(Book, { title: 'c' })
    throw new Error('no')
  })), { message: 'no' })
  t.strictSame(told, ['committed 1', 'rolled back'])
  t.equal(await sandbox.em.count(Book), 2)
  await t.rejects(sandbox.em.insert(Book, { title: 'a' }), { code: /23505|SQLITE_CONSTRAINT/ })
  t.equal(await sandbox.em.count(Book), 2)
  await sandbox.rollback()
  t.strictSame(await titles(), [])
  t.equal(taken(), 0)
})

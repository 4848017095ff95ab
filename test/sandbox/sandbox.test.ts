import t from 'tap'
import { afterCommit, afterRollback, commit, em, runInContext } from '../../index.ts'
import { createSandbox } from '../../testing.ts'
import { Author, Book, onEveryEngine } from '../support/databases.ts'
import { startServer } from '../support/server.ts'
import { collectSettled } from '../support/settled-events.ts'

onEveryEngine('what a test arranges, what a request does and what the test sees is one transaction, which is rolled back', async (t, { orm, titles, taken }) => {
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
  const book = sandbox.em.create(Book, { title: 'Emma', stock: 3 })
  await sandbox.em.flush()
  const response = await sandbox.run(() => app.inject({ method: 'POST', url: `/books/${book.id}/order` }))
  t.equal(response.statusCode, 200)
  t.match(response.json(), { title: 'Emma', stock: 2 })
  t.equal(await sandbox.em.findOne(Book, { title: 'Emma' }), book)
  t.equal(book.stock, 2, 'as it is in the database by then')

  const post = async (title: string): Promise<number> => (
    (await sandbox.run(() => app.inject({ method: 'POST', url: '/books', payload: { title } }))).statusCode
  )
  t.equal(await post('Emma'), 409)
  t.equal(await post('Persuasion'), 200, 'what has failed takes nothing else along')
  t.equal(await sandbox.em.count(Book), 2)
  await sandbox.rollback()
  await sandbox.rollback()
  t.strictSame(await titles(), [])
  t.equal(taken(), 0)
})

onEveryEngine('contexts settle in a sandbox as they do without one', async (t, { orm, titles }) => {
  const settle = async (): Promise<unknown> => {
    const told: string[] = []
    const settled = collectSettled(t)
    await runInContext({ orm, name: 'twice' }, async () => {
      afterCommit(async () => { told.push(`committed ${await em().count(Book)}`) })
      em().create(Book, { title: 'a', stock: 1 })
      await commit()
      em().create(Book, { title: 'b', stock: 1 })
      await em().transactional(async () => {
        afterRollback(() => { told.push('inner rolled back') })
        await em().insert(Book, { title: 'c' })
        throw new Error('no')
      }).catch(() => {})
    })
    const errors = [
      await runInContext({ orm }, async () => {
        afterRollback(() => { told.push('rolled back') })
        await em().insert(Book, { title: 'c' })
        throw new Error('no')
      }).catch(error => error.message),
      await runInContext({ orm }, () => em().insertMany(Book, [{ title: 'd' }, { title: 'a' }])).catch(error => error.code),
      await runInContext({ orm }, async () => { await em().insert(Book, { title: 'a' }).catch(() => {}) }).catch(error => error.code)
    ]
    const events = settled.map(({ name, outcome, ending, reads, writes, flushes }) => ({ name, outcome, ending, reads, writes, flushes }))
    return { told, errors, events, titles: (await orm.em.fork().findAll(Book, { orderBy: { title: 'asc' } })).map(({ title }) => title) }
  }
  const sandbox = await createSandbox(orm)
  const inside = await sandbox.run(settle)
  await sandbox.rollback()
  t.strictSame(await titles(), [])
  t.strictSame(inside, await settle())
  t.strictSame(await titles(), ['a', 'b'])
})

onEveryEngine('sandbox.em is an EntityManager like any other', async (t, { orm, titles }) => {
  await using sandbox = await createSandbox(orm)
  const { em } = sandbox
  await t.rejects(em.insert(Book, { title: null as any }))
  em.create(Author, { name: 'Jane Austen' })
  em.create(Book, { title: 'Emma', stock: 3, author: em.create(Author, { name: 'Jane Austen' }) })
  await t.rejects(em.flush())
  t.equal(await em.count(Author), 0, 'a flush is written as a whole or not at all')
  em.clear()

  await em.transactional(async inner => { inner.create(Book, { title: 'Emma', stock: 3 }) })
  await t.rejects(em.transactional(async inner => {
    inner.create(Book, { title: 'Persuasion', stock: 3 })
    await inner.flush()
    throw new Error('no')
  }))
  await em.begin()
  await em.insert(Book, { title: 'Sanditon' })
  await em.rollback()
  const rows = []
  for await (const book of em.stream(Book)) rows.push(book.title)
  t.strictSame(rows, ['Emma'])
  t.strictSame(await (em as any).getKysely().selectFrom('book').select('title').execute(), [{ title: 'Emma' }])
  t.strictSame(await em.getConnection().execute('select title from book'), [{ title: 'Emma' }])
  t.strictSame((await em.getRepository(Book).findAll()).map(({ title }) => title), ['Emma'])
  t.match((await em.getKysely().introspection.getTables()).map(({ name }) => name), ['author', 'book'])
  await t.rejects(em.getKysely().destroy(), /roll the sandbox back/)

  em.create(Book, { title: 'pending', stock: 3 })
  t.equal(await sandbox.run(() => runInContext({ orm }, () => orm.em.count(Book))), 2, 'sandbox.run() flushes it')
  await sandbox.rollback()
  t.strictSame(await titles(), [])
})

onEveryEngine('whatever uses the database inside sandbox.run() is in the sandbox', async (t, { orm, titles, kind }) => {
  const sandbox = await createSandbox(orm)
  await sandbox.run(async () => {
    await orm.em.fork().insert(Book, { title: 'by a fork' })
    await orm.em.fork().transactional(async em => { em.create(Book, { title: 'in its transaction', stock: 1 }) })
    await orm.em.getConnection().execute("insert into book (title, stock) values ('by the connection', 3)")
    await runInContext({ orm, transaction: false }, async () => {
      await em().insert(Book, { title: 'without a transaction' })
      await em().transactional(async () => {
        // where there is one connection, that is refused without a sandbox, too
        if (kind === 'postgresql') await runInContext(() => em().insert(Book, { title: 'nested' }))
      })
    })
    const rows = []
    for await (const book of orm.em.fork().stream(Book)) rows.push(book)
    t.equal(rows.length, kind === 'postgresql' ? 5 : 4)
  })
  await sandbox.rollback()
  t.strictSame(await titles(), [])
  await orm.em.fork().insert(Book, { title: 'after' })
  t.strictSame(await titles(), ['after'], 'when it is over, MikroORM is as it was')
})

t.test('createSandbox() says what it takes', async t => {
  for (const orm of [undefined, null, {}, [], [{}]]) {
    await t.rejects(createSandbox(orm as any), { code: 'FST_ORM_BAD_OPTION', message: /^createSandbox\(\): the option "orm" takes a MikroORM .* got / })
  }
})

onEveryEngine('databases of one name cannot be told apart', async (t, { orm, taken }) => {
  await t.rejects(createSandbox([orm, orm]), { code: 'FST_ORM_BAD_OPTION', message: /two that are called "default"/ })
  t.equal(taken(), 0)
})

onEveryEngine('what sandbox.em has not flushed is not overwritten by what it finds', async (t, { orm }) => {
  await using sandbox = await createSandbox(orm)
  const book = sandbox.em.create(Book, { title: 'Emma', stock: 3 })
  await sandbox.em.flush()
  book.stock = 77
  await sandbox.em.findOne(Book, { title: 'Emma' })
  await sandbox.em.find(Book, {})
  await sandbox.em.flush()
  t.equal(await sandbox.em.count(Book, { stock: 77 }), 1)

  const pending = sandbox.em.create(Book, { title: 'Persuasion', stock: 1 })
  book.stock = 78
  t.equal(await sandbox.em.findOne(Book, book.id), book)
  t.equal(book.stock, 78)
  await sandbox.em.flush()
  t.strictSame((await sandbox.em.find(Book, {}, { orderBy: { stock: 'asc' } })).map(({ stock }) => stock), [pending.stock, 78])
})

onEveryEngine('sandbox.run() is refused inside of a context that is in no sandbox', async (t, { orm, titles }) => {
  await runInContext({ orm, name: 'job' }, async () => {
    const [sandbox, other] = [await createSandbox(orm), { code: 'FST_ORM_SANDBOX_REFUSED', message: /^sandbox\.run\(\) is in a sandbox, .* the work of job, around it, which is in no sandbox/ }]
    await t.rejects(sandbox.run(() => em().insert(Book, { title: 'real' })), other)
    await sandbox.rollback()
  })
  t.strictSame(await titles(), [])
})

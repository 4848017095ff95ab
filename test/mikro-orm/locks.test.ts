import { LockMode, wrap } from '@mikro-orm/core'
import type { SqlEntityManager } from '@mikro-orm/sqlite'
import { em, runInContext } from '../../index.ts'
import { Author, Book, onEachDatabase, onSqlite } from '../support/databases.ts'
import { startServer } from '../support/server.ts'

const lockMode = LockMode.PESSIMISTIC_WRITE
const sqlEm = (): SqlEntityManager => em() as SqlEntityManager

/** Each reads, waits, and writes what it has read and one more. */
async function sell (): Promise<void> {
  const book = await em().findOneOrFail(Book, 1, { lockMode })
  await new Promise(resolve => setImmediate(resolve))
  book.stock += 1
}

onEachDatabase('of changes in parallel to a row that each has locked, none is lost', async (t, { orm, observe }) => {
  await runInContext({ orm }, () => { em().create(Book, { title: 'Emma', stock: 0 }) })
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      await sell()
      return 'ok'
    })
  })
  const replies = await Promise.all(Array.from({ length: 8 }, () => post('/')))
  t.ok(replies.every(({ status }) => status === 200))
  await Promise.all(Array.from({ length: 8 }, () => runInContext({ orm }, sell)))
  t.strictSame(await observe('select stock from book'), [{ stock: 16 }])
})

onEachDatabase('each way to lock begins the transaction', async (t, { orm, sent }) => {
  await runInContext({ orm }, () => {
    em().create(Author, { name: 'Jane Austen', books: [{ title: 'Emma' }, { title: 'Persuasion' }] })
  })
  const repository = orm.em.getRepository(Book)
  const ways: Record<string, (book: any, author: any) => Promise<unknown>> = {
    'em.findOne()': () => em().findOne(Book, 1, { lockMode }),
    'em.findOneOrFail()': () => em().findOneOrFail(Book, { title: 'Emma' }, { lockMode }),
    'em.find()': () => em().find(Book, {}, { lockMode, limit: 1 }),
    'em.findAndCount()': () => em().findAndCount(Book, {}, { lockMode }),
    'em.findByCursor()': () => em().findByCursor(Book, { first: 1, orderBy: { id: 'asc' }, lockMode } as any),
    'em.find() with relations by joins': () => em().find(Author, {}, { lockMode, populate: ['books'], strategy: 'joined' }),
    'em.find() with relations by selects': () => em().find(Author, {}, { lockMode, populate: ['books'], strategy: 'select-in' }),
    'em.find() with paginated joins': () => em().find(Author, { books: { stock: 3 } }, { lockMode, limit: 1, populate: ['books'], strategy: 'joined' }),
    'em.refresh()': book => em().refresh(book, { lockMode } as any),
    'em.lock()': book => em().lock(book, lockMode),
    'em.stream()': async () => { for await (const book of em().stream(Book, { lockMode } as any)) if (book.id === 0) break },
    'orm.em.findOne()': () => orm.em.findOne(Book, 1, { lockMode }),
    'orm.em.lock()': book => orm.em.lock(book, lockMode),
    'repository.findOne()': () => repository.findOne(1, { lockMode }),
    'wrap().init()': () => wrap(em().getReference(Book, 1)).init({ lockMode }),
    'reference.load()': () => wrap(em().getReference(Book, 2)).toReference().load({ lockMode, refresh: true }),
    'collection.loadItems()': (_book, author) => author.books.loadItems({ lockMode }),
    'collection.matching()': (_book, author) => author.books.matching({ lockMode }),
    'em.qb()': () => sqlEm().qb(Book).select('*').setLockMode(lockMode).getResultList(),
    'em.qb() that is executed': () => sqlEm().qb(Book).select('id').setLockMode(lockMode).execute(),
    'em.createQueryBuilder() that is cloned': () => sqlEm().createQueryBuilder(Book).select('*').setLockMode(lockMode).clone().getSingleResult(),
    'a clone': () => sqlEm().createQueryBuilder(Book).select('*').clone().setLockMode(lockMode).getSingleResult(),
    'a query builder whose SQL is executed': async () => {
      const { sql, params } = sqlEm().qb(Book).select('*').setLockMode(lockMode).toQuery()
      return await sqlEm().execute(sql, params as unknown[])
    },
    'repository.qb()': () => (repository as any).qb().select('*').setLockMode(lockMode).getResult(),
    'em.transactional()': () => em().transactional(em => em.findOne(Book, 1, { lockMode }))
  }
  for (const mode of PESSIMISTIC) ways[`${LockMode[mode]}`] = () => em().findOne(Book, 1, { lockMode: mode })
  for (const [name, lock] of Object.entries(ways)) {
    await runInContext({ orm }, async () => {
      const book = await em().findOneOrFail(Book, 2)
      const author = await em().findOneOrFail(Author, 1)
      sent.length = 0
      await lock(book, author)
      t.match(sent.filter(sql => !sql.includes('count(*)')), ['begin', /^select|^savepoint|^declare .* for select/], name)
    })
    t.equal(sent.at(-1), 'commit', name)
  }
  sent.length = 0
  await runInContext({ orm }, () => em().findOne(Book, 1, { lockMode: LockMode.NONE }))
  t.match(sent, [/^select/], 'which is no lock')
})

const PESSIMISTIC = [
  LockMode.PESSIMISTIC_READ, LockMode.PESSIMISTIC_PARTIAL_READ, LockMode.PESSIMISTIC_PARTIAL_WRITE,
  LockMode.PESSIMISTIC_READ_OR_FAIL, LockMode.PESSIMISTIC_WRITE_OR_FAIL
]

onEachDatabase('without a transaction there is no lock, and MikroORM says so', async (t, { orm, sent }) => {
  await runInContext({ orm }, () => { em().create(Book, { title: 'Emma' }) })
  await runInContext({ orm, transaction: false }, async () => {
    const book = await em().findOneOrFail(Book, 1)
    const required = { message: 'An open transaction is required for this operation' }
    await t.rejects(em().findOne(Book, 1, { lockMode }), required)
    await t.rejects(em().findOne(Book, 1, { lockMode: LockMode.PESSIMISTIC_PARTIAL_WRITE }), required)
    await t.rejects(em().lock(book, lockMode), required)
    t.throws(() => sqlEm().qb(Book).select('*').setLockMode(lockMode), required)
    sent.length = 0
    await em().transactional(em => em.findOne(Book, 1, { lockMode }))
    t.match(sent, ['begin', /^select/, 'commit'], 'one of MikroORM\'s own will do')
  })
})

onEachDatabase('a context that has ended locks nothing', async (t, { orm }) => {
  await runInContext({ orm }, () => { em().create(Book, { title: 'Emma' }) })
  for (const transaction of ['on-write', false] as const) {
    const ended = await runInContext({ orm, transaction }, () => [em()])
    await t.rejects(ended[0]!.findOne(Book, 1, { lockMode }), { code: 'FST_ORM_CONTEXT_ENDED' })
  }
})

onSqlite('MikroORM\'s statements are its own again when the app has closed', async (t, { another, sent }) => {
  const orm = await another()
  const lock = (): Promise<unknown> => orm.em.fork().transactional(em => em.findOne(Book, 1, { lockMode }))
  const { app } = await startServer(t, { orm }, () => {})
  sent.length = 0
  await lock()
  t.match(sent[1], /\/\*! for update \*\/$/)
  await app.close()
  sent.length = 0
  await lock()
  t.notMatch(sent[1], /for update/)
})

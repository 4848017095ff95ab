import type { SqlEntityManager } from '@mikro-orm/sql'
import { Readable } from 'node:stream'
import { em } from '../index.ts'
import { Book, onEachDatabase, onPostgres, onSqlite, type Orm } from './support/databases.ts'
import { startServer } from './support/server.ts'
import { until } from './support/until.ts'

async function insertBooks (orm: Orm, count: number): Promise<void> {
  await orm.em.fork().insertMany(Book, Array.from({ length: count }, (_, i) => ({ title: `book ${i}` })))
}

async function * lines (books: AsyncIterable<unknown>): AsyncGenerator<string> {
  for await (const book of books) yield JSON.stringify(book) + '\n'
}

onEachDatabase('a stream of rows is replied, before and after a write', async (t, { orm, taken, titles }) => {
  await insertBooks(orm, 250)
  const { get } = await startServer(t, { orm }, app => {
    app.get('/read', async () => Readable.from(lines(em().stream(Book))))
    app.get('/write', async () => {
      await em().insert(Book, { title: 'one more' })
      return Readable.from(lines(em().stream(Book)))
    })
  })
  t.equal((await (await get('/read')).text()).trim().split('\n').length, 250)
  t.equal((await (await get('/write')).text()).trim().split('\n').length, 251)
  t.equal((await titles()).length, 251)
  t.equal(taken(), 0)
})

onEachDatabase('in a transaction, a stream is read to its end or left early', async (t, { orm, taken, titles }) => {
  await insertBooks(orm, 250)
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      await em().insert(Book, { title: 'one more' })
      let count = 0
      for await (const book of em().stream(Book)) count += book.title === '' ? 0 : 1
      for (const stream of [em().stream(Book), (em() as unknown as SqlEntityManager).createQueryBuilder(Book).stream()]) {
        await stream.next()
        await stream.return!(undefined)
      }
      await em().insert(Book, { title: 'and another' })
      return { count }
    })
  })
  t.strictSame(await (await post('/')).json(), { count: 251 })
  t.equal((await titles()).length, 252)
  t.equal(taken(), 0)
})

onEachDatabase('a statement that would wait for a stream for ever is an error', async (t, { orm, taken, titles }) => {
  await insertBooks(orm, 5)
  const { failure, post } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      await em().insert(Book, { title: 'one more' })
      for await (const book of em().stream(Book)) await em().nativeUpdate(Book, book.id, { stock: 0 })
    })
    app.post('/commit', async () => {
      await em().insert(Book, { title: 'one more' })
      const stream = em().stream(Book)
      await stream.next()
      return 'ok'
    })
  })
  t.match(await failure(post('/')), { statusCode: 500, code: 'FST_ORM_STREAM_OPEN', message: /^POST \/ is reading a stream on the connection that this needs: update .book. …\. It would wait for ever/ })
  t.match(await failure(post('/commit')), { statusCode: 500, code: 'FST_ORM_STREAM_OPEN', message: /commit/ })
  t.equal((await titles()).length, 5)
  t.equal(taken(), 0)
})

onSqlite('on a single connection, so is one beside a stream that no transaction holds', async (t, { orm, titles }) => {
  await insertBooks(orm, 5)
  const { post } = await startServer(t, { orm }, app => {
    app.post('/read', async () => {
      for await (const book of em().stream(Book)) await em().findOne(Book, { title: `not ${book.title}` })
    })
    app.post('/write', async () => {
      for await (const book of em().stream(Book)) await em().nativeUpdate(Book, book.id, { stock: 0 })
    })
  })
  for (const path of ['/read', '/write']) t.match(await (await post(path)).json(), { code: 'FST_ORM_STREAM_OPEN' })
  t.equal((await titles()).length, 5)
})

onPostgres('on a pool, a stream of reads and the writes beside it have a connection each', async (t, { orm, observe, taken }) => {
  await insertBooks(orm, 250)
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      for await (const book of em().stream(Book)) await em().nativeUpdate(Book, book.id, { stock: 0 })
      return 'ok'
    })
  })
  t.equal((await post('/')).status, 200)
  t.strictSame(await observe('select distinct stock from book'), [{ stock: 0 }])
  t.equal(taken(), 0)
})

onPostgres('a stream that nobody reads on gives its connection back with the response', async (t, { orm, taken }) => {
  await insertBooks(orm, 250)
  const { get } = await startServer(t, { orm }, app => {
    app.get('/', async () => {
      await em().stream(Book).next()
      return 'ok'
    })
  })
  for (let i = 0; i < 7; i++) t.equal((await get('/')).status, 200, 'more often than the pool has connections')
  await until(() => taken() === 0)
})

onEachDatabase('a stream whose request fails in its middle ends with an error, not as if it were complete', async (t, { orm, taken }) => {
  await insertBooks(orm, 250)
  const end = Promise.withResolvers<unknown>()
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      await em().insert(Book, { title: 'one more' })
      const stream = em().stream(Book)
      await stream.next()
      setImmediate(async () => {
        try {
          while ((await stream.next()).done !== true);
          end.resolve('complete')
        } catch (error) {
          end.resolve(error)
        }
      })
      throw new Error('no')
    })
  })
  t.equal((await post('/')).status, 500)
  t.match(await end.promise, { code: 'FST_ORM_CONTEXT_ENDED' })
  t.equal(taken(), 0)
})

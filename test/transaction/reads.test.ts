import { EventEmitter, once } from 'node:events'
import { em } from '../../index.ts'
import { Author, Book, onEachDatabase, onEachPool } from '../support/databases.ts'
import { lockBooks } from '../support/locked-books.ts'
import { withReplica } from '../support/replica-without-tables.ts'
import { isBlocked } from '../support/server-connections.ts'
import { startServer } from '../support/server.ts'
import { until } from '../support/until.ts'

onEachDatabase('a request that only reads begins nothing and sends one statement', async (t, { orm, sent }) => {
  const author = await orm.em.fork().insert(Author, { name: 'Jane' })
  await orm.em.fork().insert(Book, { title: 'Emma', author })
  sent.length = 0
  const { get } = await startServer(t, { orm }, app => {
    app.get('/', async () => em().find(Book, { title: { $like: '%mm%' } }, { populate: ['author'], orderBy: { title: 'asc' }, limit: 10 }))
    app.get('/count', async () => ({ count: await em().count(Book, { title: 'begin; commit' }) }))
    app.get('/transactional', { config: { orm: { transaction: 'on-query' } } }, async () => em().find(Book, {}))
  })
  t.match(await (await get('/')).json(), [{ title: 'Emma', author: { name: 'Jane' } }])
  t.equal(sent.length, 1, sent.join('\n'))
  t.strictSame(await (await get('/count')).json(), { count: 0 })
  t.equal(sent.length, 2, sent.join('\n'))
  await get('/transactional')
  t.match(sent.slice(2), ['begin', /^select/, 'commit'])
})

onEachPool('a handler that waits for something else between reads holds no connection', async (t, { orm, taken }) => {
  const somethingElse = new EventEmitter()
  const { get } = await startServer(t, { orm }, app => {
    app.get('/', async () => {
      const before = await em().count(Book)
      somethingElse.emit('waiting', taken())
      await once(somethingElse, 'done')
      return { before, after: await em().count(Book) }
    })
  })
  const waiting = once(somethingElse, 'waiting')
  const response = get('/')
  t.strictSame(await waiting, [0])
  somethingElse.emit('done')
  t.strictSame(await (await response).json(), { before: 0, after: 0 })
})

onEachPool('parallel reads of one request run in parallel, until it has begun to write', async (t, database) => {
  const { orm, connections } = database
  // each read waits for a lock that only the test can give up, so all of them are seen to run at the same time
  const { get } = await startServer(t, { orm }, app => {
    app.get('/', async () => (await Promise.all([1, 2, 3].map(() => em().count(Book)))).length)
  })
  const unlock = await lockBooks(database)
  const response = get('/')
  await until(async () => (await connections()).filter(isBlocked).length === 3)
  await unlock()
  t.equal(await (await response).text(), '3')
})

onEachDatabase('after the first write, the request reads what it has written, and nobody else does', async (t, { orm, titles, kind }) => {
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      await em().insert(Book, { title: 'Emma' })
      const seenByOthers = await titles()
      const books = await em().find(Book, {})
      return { seenByOthers, seen: books.length }
    })
  })
  t.strictSame(await (await post('/')).json(), { seenByOthers: [], seen: 1 }, kind)
})

onEachPool('reads go to a read replica, and writes to the primary', async (t, database) => {
  const { get, post } = await startServer(t, { orm: await withReplica(database) }, app => {
    app.get('/', async () => (await (em() as any).execute('select 1 as one')).length)
    app.get('/books', async () => em().count(Book))
    app.post('/', async () => {
      await em().insert(Book, { title: 'Emma' })
      return { count: await em().count(Book) }
    })
  })
  t.equal((await get('/')).status, 200)
  t.equal((await get('/books')).status, 500)
  t.strictSame(await (await post('/')).json(), { count: 1 })
  t.strictSame(await database.titles(), ['Emma'])

  const onPrimary = await withReplica(database, { preferReadReplicas: false })
  const second = await startServer(t, { orm: onPrimary }, app => { app.get('/books', async () => em().count(Book)) })
  t.equal(await (await second.get('/books')).text(), '1')
})

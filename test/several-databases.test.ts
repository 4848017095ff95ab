import { em } from '../index.ts'
import { Book, onPostgres } from './support/databases.ts'
import { startServer } from './support/server.ts'

onPostgres('all databases are flushed before any of them commits', async (t, { orm: main, another, titles, taken }) => {
  const audit = await another({ contextName: 'audit' })
  const { get } = await startServer(t, { orm: [main, audit] }, app => {
    app.get('/flush-fails', async () => {
      em().create(Book, { title: 'main' })
      em('audit').create(Book, { title: 'audit' })
      await em('audit').flush()
      em('audit').create(Book, { title: 'audit' })
      return 'ok'
    })
    app.get('/both', async () => {
      em().create(Book, { title: 'main' })
      em('audit').create(Book, { title: 'audit' })
      return 'ok'
    })
  })
  t.equal((await get('/flush-fails')).status, 500)
  t.strictSame(await titles(), [])
  t.equal((await get('/both')).status, 200)
  t.strictSame(await titles(), ['audit', 'main'])
  t.equal(taken(), 0)
})

onPostgres('a database that fails to commit after another has committed is named', async (t, { orm: main, another, titles, taken }) => {
  const audit = await another({ contextName: 'audit' })
  await main.em.fork().execute('create table review (book_id int, foreign key (book_id) references book (id) deferrable initially deferred)')
  const { get } = await startServer(t, { orm: [main, audit] }, app => {
    app.get('/', async () => {
      em().create(Book, { title: 'main' })
      await (em('audit') as any).execute('insert into review (book_id) values (99)')
      return 'ok'
    })
  })
  t.match(await (await get('/')).json(), {
    statusCode: 500, code: 'FST_ORM_PARTIAL_COMMIT', message: 'GET / is committed in part: "default" committed, "audit" did not'
  })
  t.strictSame(await titles(), ['main'])
  t.equal(taken(), 0)
})

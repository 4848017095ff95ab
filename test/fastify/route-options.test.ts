import { em } from '../../index.ts'
import { Book, onEachDatabase } from '../support/databases.ts'
import { startServer } from '../support/server.ts'

onEachDatabase('a route\'s isolation level is its transaction\'s', async (t, { orm, sent, kind }) => {
  const { get, post } = await startServer(t, { orm, transaction: false }, app => {
    app.get('/repeatable', { config: { orm: { isolationLevel: 'repeatable read' } } }, async () => em().count(Book))
    app.get('/committed', { config: { orm: { isolationLevel: 'read committed' } } }, async () => em().count(Book))
    app.post('/committed', { config: { orm: { isolationLevel: 'read committed' } } }, async () => em().create(Book, { title: 'Emma' }))
  })
  const begin = (level: string): string[] => ({
    sqlite: ['begin'], postgresql: [`start transaction isolation level ${level}`], mariadb: [`set transaction isolation level ${level}`, 'begin']
  } as Record<string, string[]>)[kind]!
  t.equal((await get('/repeatable')).status, 200)
  t.match(sent, [...begin('repeatable read'), /^select/, 'commit'], 'a snapshot begins with the first read')
  sent.length = 0
  await get('/committed')
  t.match(sent, [/^select/])
  sent.length = 0
  await post('/committed')
  t.match(sent, [...begin('read committed'), /^insert/, 'commit'])
})

onEachDatabase('repeatable reads are repeatable', async (t, { orm, kind }) => {
  const { get } = await startServer(t, { orm }, app => {
    app.get('/', { config: { orm: { isolationLevel: 'repeatable read' } } }, async () => {
      const before = await em().count(Book)
      if (kind !== 'sqlite') await orm.em.fork({ disableContextResolution: true }).insert(Book, { title: 'Emma' })
      return { before, after: await em().count(Book) }
    })
  })
  t.strictSame(await (await get('/')).json(), { before: 0, after: 0 })
})

onEachDatabase('a readOnly route reads, and is refused every write', async (t, { orm, titles, sent, kind, taken }) => {
  const config = { orm: { readOnly: true } } as const
  const unknown = ({ sqlite: 'select likely(1)', postgresql: 'select txid_current_if_assigned()', mariadb: 'select connection_id()' } as Record<string, string>)[kind]!
  const { failure, get } = await startServer(t, { orm }, app => {
    app.get('/read', { config }, async () => em().count(Book))
    app.get('/unknown', { config }, async () => (await (em() as any).execute(unknown)).length)
    app.get('/flush', { config }, async () => em().create(Book, { title: 'Emma' }))
    app.get('/flush-on-send', { config }, async () => {
      em().create(Book, { title: 'Emma' })
      return 'ok'
    })
    app.get('/native', { config }, async () => em().nativeUpdate(Book, {}, { stock: 0 }))
    app.get('/with', { config }, async () => (em() as any).execute("with x as (select 1) insert into book (title) select 'Emma' from x"))
    app.get('/comment', { config }, async () => (em() as any).createQueryBuilder(Book).comment('x').insert({ title: 'Emma' }).execute())
    app.get('/kysely', { config }, async () => {
      const kysely = (em() as any).getKysely()
      return kysely.with('x', (db: any) => db.selectFrom('book').select('id')).insertInto('book').values({ title: 'Emma' }).execute()
    })
    app.get('/raw', { config }, async () => (em() as any).execute("  INSERT into book (title) values ('Emma')"))
    app.get('/caught', { config }, async () => {
      await em().insert(Book, { title: 'Emma' }).catch(() => {})
      return 'ok'
    })
  })
  t.equal((await get('/read')).status, 200)
  t.match(sent.filter(sql => !sql.startsWith('pragma')), [/^(?:begin|start transaction read only)$/, /^select/, 'commit'])
  sent.length = 0
  t.equal((await get('/unknown')).status, 200)
  t.strictSame(sent.slice(0, 2), kind === 'sqlite' ? ['pragma query_only = on', 'begin'] : ['start transaction read only', unknown])
  for (const path of ['/comment', ...kind === 'mariadb' ? [] : ['/with', '/kysely']]) { // MariaDB has no such insert
    t.match(await failure(get(path)), { statusCode: 500, message: /read[- ]?only/i }, path)
  }
  for (const path of ['/flush', '/flush-on-send', '/native', '/raw']) {
    t.match(await failure(get(path)), { statusCode: 500, code: 'FST_ORM_READ_ONLY', message: `GET ${path} is readOnly and cannot write, got: ` }, path)
  }
  t.equal((await get('/caught')).status, 200, 'nothing was written, and nothing is lost')
  t.strictSame(await titles(), [])
  t.equal(taken(), 0)
  await orm.em.fork().insert(Book, { title: 'the connection writes again' })
})

onEachDatabase('with transaction: false, every flush commits by itself', async (t, { orm, titles, sent }) => {
  const { post } = await startServer(t, { orm, transaction: false }, app => {
    app.post('/', async () => {
      em().create(Book, { title: 'first' })
      await em().flush()
      em().create(Book, { title: 'second' })
      await em().flush()
      em().create(Book, { title: 'third' })
      throw new Error('no')
    })
    app.post('/transactional', async () => {
      await em().begin()
      await em().insert(Book, { title: 'rolled back' })
      await em().rollback()
      await em().transactional(async em => { await em.insert(Book, { title: 'fourth' }) })
      return em().create(Book, { title: 'fifth' })
    })
  })
  t.equal((await post('/')).status, 500)
  t.strictSame(await titles(), ['first', 'second'])
  t.equal(sent.filter(sql => sql === 'commit').length, 2)
  t.match(await (await post('/transactional')).json(), { title: 'fifth', id: Number })
  t.strictSame(await titles(), ['fifth', 'first', 'fourth', 'second'])
})

onEachDatabase('with transaction: on-query, the first statement begins, whatever it is', async (t, { orm, sent }) => {
  const { get } = await startServer(t, { orm, transaction: 'on-query' }, app => {
    app.get('/', async () => em().count(Book))
    app.get('/none', async () => 'ok')
  })
  await get('/none')
  t.strictSame(sent, [])
  await get('/')
  t.match(sent, ['begin', /^select/, 'commit'])
})

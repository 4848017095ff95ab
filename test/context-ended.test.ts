import { em } from '../index.ts'
import { Book, onEachDatabase } from './support/databases.ts'
import { startServer } from './support/server.ts'

const LATE_WRITES: Record<string, () => Promise<unknown>> = {
  insert: () => em().insert(Book, { title: 'late' }),
  'native update': () => em().nativeUpdate(Book, {}, { stock: 0 }),
  flush: async () => {
    em().create(Book, { title: 'late' })
    await em().flush()
  },
  transactional: () => em().transactional(async em => { em.create(Book, { title: 'late' }) }),
  begin: () => em().begin(),
  'raw SQL': () => (em() as any).execute("insert into book (title) values ('late')"),
  Kysely: () => (em() as any).getKysely().insertInto('book').values({ title: 'late' }).execute(),
  'query builder': () => (em() as any).createQueryBuilder(Book).insert({ title: 'late' }).execute()
}

for (const transaction of ['on-write', 'on-query', false] as const) {
  onEachDatabase(`whatever is written after the reply is refused, with transaction: ${transaction}`, async (t, { orm, titles, taken }) => {
    const late = new Map<string, unknown>()
    const { get } = await startServer(t, { orm, transaction }, app => {
      app.get('/:use/books/:id', async (request, reply) => {
        const { use } = request.params as { use: string }
        const captured = use === 'used' ? em() : undefined
        if (use === 'used') await em().insert(Book, { title: 'in time' })
        await reply.send({ ok: true })
        for (const [name, write] of Object.entries(LATE_WRITES)) {
          late.set(name, await write().catch(error => error))
        }
        late.set('captured', await captured?.insert(Book, { title: 'late' }).catch(error => error))
        late.set('read', await em().count(Book))
      })
    })
    for (const use of ['used', 'unused']) {
      t.equal((await get(`/${use}/books/7`)).status, 200)
      const outcome = use === 'used' ? 'committed' : 'untouched'
      for (const name of Object.keys(LATE_WRITES)) {
        await until(() => late.has(name))
        t.match(late.get(name), { code: 'FST_ORM_CONTEXT_ENDED', message: `GET /:use/books/:id has ended (${outcome})` }, `${use}: ${name}`)
      }
      await until(() => late.has('read'))
      if (use === 'used') t.match(late.get('captured'), { code: 'FST_ORM_CONTEXT_ENDED' })
      t.equal(late.get('read'), 1, 'reads go on')
      late.clear()
    }
    t.strictSame(await titles(), ['in time'])
    t.equal(taken(), 0)
  })
}

onEachDatabase('a handler that goes on after its handlerTimeout writes nothing', async (t, { orm, titles, taken }) => {
  const answered = Promise.withResolvers<void>()
  const finished = Promise.withResolvers<unknown>()
  const { get } = await startServer(t, { orm }, app => {
    app.get('/slow', { handlerTimeout: 50 }, async () => {
      await em().insert(Book, { title: 'before' })
      await answered.promise
      await em().insert(Book, { title: 'after' }).catch(finished.resolve)
      return { ok: true }
    })
  })
  const response = await get('/slow')
  t.equal(response.status, 503)
  t.equal(taken(), 0)
  answered.resolve()
  t.match(await finished.promise, { code: 'FST_ORM_CONTEXT_ENDED', message: 'GET /slow has ended (rolledBack) and takes no more statements than reads, got: insert into' })
  t.strictSame(await titles(), [])
})

onEachDatabase('an error message shows no values', async (t, { orm }) => {
  const finished = Promise.withResolvers<any>()
  const { get } = await startServer(t, { orm }, app => {
    app.get('/', async (_request, reply) => {
      await reply.send('ok')
      await em().nativeUpdate(Book, { title: 'secret' }, { title: 'secret too' }).catch(finished.resolve)
    })
  })
  await get('/')
  const { message } = await finished.promise
  t.match(message, /got: update .book. …/)
  t.notMatch(message, 'secret')
})

/** Runs the event loop until something has happened that sends no event. */
async function until (condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(resolve => setImmediate(resolve))
}

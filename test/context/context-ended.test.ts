import { once } from 'node:events'
import { Readable } from 'node:stream'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { commit, em, rollback } from '../../index.ts'
import { Book, onEveryEngine } from '../support/databases.ts'
import { NEEDS_HANDLER_TIMEOUT } from '../support/fastify-features.ts'
import { startServer } from '../support/server.ts'
import { until } from '../support/until.ts'

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
  onEveryEngine(`what is written while the reply is being streamed is refused, with transaction: ${transaction}`, async (t, { orm, titles, taken }) => {
    const errors = new Map<string, unknown>()
    async function * stream (captured?: ReturnType<typeof em>): AsyncGenerator<string> {
      yield ' ' // the commit waits for the first chunk
      for (const [name, write] of Object.entries(LATE_WRITES)) errors.set(name, await write().catch(error => error))
      if (captured !== undefined) errors.set('captured', await captured.insert(Book, { title: 'late' }).catch(error => error))
      yield String(await em().count(Book))
    }
    const { get } = await startServer(t, { orm, transaction }, app => {
      app.get('/used/:id', async () => {
        await em().insert(Book, { title: 'in time' })
        return Readable.from(stream(em()))
      })
      app.get('/unused/:id', async () => Readable.from(stream()))
    })
    for (const [path, outcome] of [['used', 'committed'], ['unused', 'untouched']] as const) {
      errors.clear()
      t.equal(await (await get(`/${path}/7`)).text(), ' 1', 'reads go on')
      t.equal(errors.size, Object.keys(LATE_WRITES).length + (path === 'used' ? 1 : 0))
      for (const [name, error] of errors) {
        t.match(error, { code: 'FST_ORM_CONTEXT_ENDED', message: `GET /${path}/:id has ended (${outcome}), which is too late for this: ` }, `${path}: ${name}`)
      }
    }
    t.strictSame(await titles(), ['in time'])
    t.equal(taken(), 0)
  })

  onEveryEngine(`after the response has closed, em() refuses reads as well, with transaction: ${transaction}`, async (t, { orm, titles, kind }) => {
    const finished = Promise.withResolvers<void>()
    const { get } = await startServer(t, { orm, transaction }, app => {
      app.get('/', async (_request, reply) => {
        const captured = em()
        await captured.insert(Book, { title: 'in time' })
        const closed = once(reply.raw, 'close')
        reply.send({ ok: true })
        await closed
        if (kind !== 'pglite') for await (const book of captured.stream(Book)) t.equal(book.title, 'in time') // which has no streams
        await t.rejects(em().count(Book), { code: 'FST_ORM_CONTEXT_ENDED', message: 'GET / has ended (committed), which is too late for this: select count(*)' })
        em().create(Book, { title: 'late' })
        await t.rejects(em().flush(), { code: 'FST_ORM_CONTEXT_ENDED' })
        await t.rejects(captured.insert(Book, { title: 'late' }), { code: 'FST_ORM_CONTEXT_ENDED' })
        await t.rejects(orm.em.find(Book, {}), /global EntityManager/)
        t.equal(await captured.count(Book), 1)
        await orm.em.fork().insert(Book, { title: 'forked' })
        finished.resolve()
      })
    })
    t.equal((await get('/')).status, 200)
    await finished.promise
    t.strictSame(await titles(), ['forked', 'in time'])
  })
}

onEveryEngine('who commits or rolls back by hand is told that the context has ended, and what was read stays', async (t, { orm }) => {
  const ends = { commit: () => commit(), rollback: () => rollback(), 'em.commit': () => em().commit(), 'em.rollback': () => em().rollback() }
  const errors = new Map<string, unknown>()
  const { get } = await startServer(t, { orm }, app => {
    app.get('/', async () => {
      const book = em().create(Book, { title: 'Emma' })
      async function * stream (): AsyncGenerator<string> {
        yield ' ' // the commit waits for the first chunk
        for (const [name, end] of Object.entries(ends)) errors.set(name, await end().catch((error: unknown) => error))
        yield String(em().getUnitOfWork().getById('Book' as never, book.id as never) === book)
      }
      return Readable.from(stream())
    })
  })
  t.equal(await (await get('/')).text(), ' true')
  t.equal(errors.size, 4)
  for (const [name, error] of errors) t.match(error, { code: 'FST_ORM_CONTEXT_ENDED', message: `GET / has ended (committed), which is too late for this: ${name}()` })
})

onEveryEngine('with transaction: false, an error refuses later writes as well', async (t, { orm, titles }) => {
  const refused: string[] = []
  const { get } = await startServer(t, { orm, transaction: false }, app => {
    app.addHook('onError', async request => { await request.em.insert(Book, { title: 'audit' }).catch(error => refused.push(error.code)) })
    app.get('/', async () => {
      await em().count(Book)
      throw new Error('no')
    })
  })
  t.equal((await get('/')).status, 500)
  t.strictSame(refused, ['FST_ORM_CONTEXT_ENDED'])
  t.strictSame(await titles(), [])
})

onEveryEngine('a context that something keeps alive keeps no entities', async (t, { orm }) => {
  const { get, app } = await startServer(t, { orm }, app => {
    app.get('/', async (_request, reply) => {
      const book = em().create(Book, { title: 'Emma' })
      const timer = setInterval(() => {}, 1_000_000)
      t.teardown(() => clearInterval(timer))
      collected.push(new WeakRef(book), new WeakRef(em()), new WeakRef(reply))
      return book
    })
  })
  const collected: WeakRef<object>[] = []
  await get('/')
  await app.close()
  do {
    await new Promise(resolve => setImmediate(resolve)) // deref() keeps its object until the end of the turn
    gc()
  } while (collected.some(ref => ref.deref() !== undefined))
  t.equal(collected.length, 3)
})

onEveryEngine('a handler that goes on after its handlerTimeout writes nothing', async (t, { orm, titles, taken }) => {
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
  await until(() => taken() === 0)
  answered.resolve()
  t.match(await finished.promise, { code: 'FST_ORM_CONTEXT_ENDED', message: 'GET /slow has ended (rolledBack), which is too late for this: insert into' })
  t.strictSame(await titles(), [])
}, NEEDS_HANDLER_TIMEOUT)

onEveryEngine('an error message shows no values', async (t, { orm }) => {
  const longer = Promise.withResolvers<any>()
  const finished = Promise.withResolvers<any>()
  const { get } = await startServer(t, { orm }, app => {
    app.get('/', async (_request, reply) => {
      await reply.send('ok')
      await (em() as any).execute('create table one_of_a_name_that_is_so_long_that_no_message_should_show_all_of_it (id int)').catch(longer.resolve)
      await em().nativeUpdate(Book, { title: 'secret' }, { title: 'secret too' }).catch(finished.resolve)
    })
  })
  await get('/')
  const { message } = await finished.promise
  t.match(message, /too late for this: update .book. …/)
  t.notMatch(message, 'secret')
  t.match((await longer.promise).message, /for this: create table one_of_a_name_that_is_so_long_that_no_message_s…\./)
})

/** Without a flag for the whole process. */
function gc (): void {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
}

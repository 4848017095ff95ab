import type { SqlEntityManager } from '@mikro-orm/sql'
import { contexts, em } from '../../index.ts'
import { Book, onEachPool } from '../support/databases.ts'
import { isSleeping, runs, untilNone, untilOne } from '../support/server-connections.ts'
import { startServer } from '../support/server.ts'
import { until } from '../support/until.ts'

for (const inflightQueryAbortStrategy of ['cancel query', 'kill session', 'ignore query'] as const) {
  onEachPool(`a signal of the user's ends its statement, and the request with it: ${inflightQueryAbortStrategy}`, async (t, database) => {
    const { orm, sleep, taken, titles } = database
    t.intercept(console, 'error', { value: () => {} }) // where Kysely reports what an aborted query says in the end
    const controller = new AbortController()
    const { failure, get } = await startServer(t, { orm }, app => {
      app.get('/', async () => {
        await em().insert(Book, { title: 'Emma' })
        const seconds = inflightQueryAbortStrategy === 'ignore query' ? 0.5 : 60
        return (em() as unknown as SqlEntityManager).execute(sleep(seconds), [], { signal: controller.signal, inflightQueryAbortStrategy })
      })
    })
    const response = get('/')
    await untilOne(database, isSleeping)
    controller.abort(new Error('enough'))
    t.match(await failure(response), { statusCode: 500, message: 'enough' })
    await until(async () => taken() === 0)
    await untilNone(database, isSleeping)
    t.strictSame(await titles(), [])
    await until(() => contexts().length === 0)
  })
}

for (const inflightQueryAbortStrategy of ['cancel query', 'kill session'] as const) {
  onEachPool(`a signal of the user's ends a read that is in no transaction: ${inflightQueryAbortStrategy}`, async (t, database) => {
    const { orm, sent, slowRead, taken } = database
    t.intercept(console, 'error', { value: () => {} })
    const controller = new AbortController()
    const { failure, get } = await startServer(t, { orm }, app => {
      app.get('/', async () => {
        await em().count(Book) // the first read of all goes another way than others
        return await (em() as unknown as SqlEntityManager).execute(slowRead, [], { signal: controller.signal, inflightQueryAbortStrategy })
      })
    })
    const response = get('/')
    await untilOne(database, runs(slowRead))
    controller.abort(new Error('enough'))
    t.match(await failure(response), { statusCode: 500, message: 'enough' })
    await until(async () => taken() === 0)
    await untilNone(database, runs(slowRead))
    await until(() => contexts().length === 0)
    t.notOk(sent.includes('begin'))
  })
}

onEachPool('a signal ends a stream', async (t, { orm, taken }) => {
  await orm.em.fork().insertMany(Book, Array.from({ length: 500 }, (_, i) => ({ title: `book ${i}` })))
  const { failure, get } = await startServer(t, { orm }, app => {
    app.get('/:when', async request => {
      const controller = new AbortController()
      if ((request.params as any).when === 'writing') await em().insert(Book, { title: 'Emma' })
      for await (const book of em().stream(Book, { signal: controller.signal } as any)) controller.abort(new Error(`enough after ${book.id}`))
    })
  })
  for (const when of ['reading', 'writing']) {
    t.match(await failure(get(`/${when}`)), { message: /enough after/ }, when)
    await until(async () => taken() === 0)
  }
})

onEachPool('a statement that is aborted while it waits for its turn is not run', async (t, { orm, taken, titles, sent }) => {
  const controller = new AbortController()
  const { get } = await startServer(t, { orm }, app => {
    app.get('/', async () => {
      const first = em().insert(Book, { title: 'first' })
      const second = em().insert(Book, { title: 'second' }, { signal: controller.signal } as any).catch(error => error)
      const sql = em() as unknown as SqlEntityManager
      const third = sql.execute("insert into book (title) values ('third')", [], { signal: controller.signal }).catch(error => error)
      controller.abort(new Error('enough'))
      await first
      await second
      return { aborted: (await third).message }
    })
  })
  t.strictSame(await (await get('/')).json(), { aborted: 'enough' })
  t.notOk((await titles()).includes('third'))
  t.notOk(sent.some(sql => sql.includes('third')))
  t.equal(taken(), 0)
})

import { sql } from 'kysely'
import type { SqlEntityManager } from '@mikro-orm/sql'
import { once } from 'node:events'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { em, runInContext } from '../../index.ts'
import { Book, onEachDatabase, onEachPool, onSqlite, type Orm, type TestDatabase } from '../support/databases.ts'
import { havingLittlePatience } from '../support/little-patience.ts'
import { isBusy } from '../support/server-connections.ts'
import { startServer } from '../support/server.ts'
import { watchStrayErrors } from '../support/stray-errors.ts'
import { until } from '../support/until.ts'

/** Of rows that are more than the buffers on their way hold. */
const LARGE = 3_000

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

onEachPool('on a pool, a stream of reads and the writes beside it have a connection each', async (t, { orm, observe, taken }) => {
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

onEachPool('a stream that nobody reads on gives its connection back with the response', async (t, { orm, taken }) => {
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

onEachPool('a large table is replied in constant memory, at the pace of a client that reads slowly', async (t, database) => {
  const { orm, taken } = database
  await insertMany(database, 20_000)
  let read = 0
  const { app } = await startServer(t, { orm }, app => {
    app.get('/', async (_request, reply) => {
      const books = counted(em().stream(Book), () => { read++ })
      return reply.type('application/x-ndjson').send(Readable.from(lines(books)))
    })
  })
  const before = usedMemory()
  const [response] = await once(httpRequest(`${app.listeningOrigin}/`).end(), 'response') as [IncomingMessage]
  await untilStill(() => read)
  t.ok(read > 0 && read < 3_000, `of 20,000 rows, ${read} are read before the client reads one`)
  t.equal(taken(), 1)

  let newlines = 0
  let grown = 0
  let chunks = 0
  for await (const chunk of response) {
    newlines += chunk.toString('latin1').split('\n').length - 1
    if (++chunks % 100 !== 0) continue
    grown = Math.max(grown, usedMemory() - before)
  }
  t.equal(newlines, 20_000)
  t.ok(chunks > 600)
  t.ok(grown < 50_000_000, `the 100 MB of the reply take ${Math.round(grown / 1e6)} MB at most`)
  await until(() => taken() === 0)
})

onEachPool('a client that leaves in the middle of a large table closes the cursor, and gives the connection back', async (t, database) => {
  const { orm, taken, connections } = database
  await insertMany(database, 10_000)
  let read = 0
  const { app, get } = await startServer(t, { orm }, app => {
    app.get('/', async () => Readable.from(lines(counted(em().stream(Book), () => { read++ }))))
    app.get('/next', async () => em().count(Book))
  })
  for (let i = 0; i < 7; i++) { // more often than the pool has connections
    const client = httpRequest(`${app.listeningOrigin}/`).end()
    const [response] = await once(client, 'response') as [IncomingMessage]
    response.on('error', () => {})
    await once(response, 'data')
    client.destroy()
    await until(() => taken() === 0)
  }
  t.ok(read < 35_000, `of 70,000 rows, ${read} are read`)
  t.equal(await (await get('/next')).text(), '10000')
  t.strictSame((await connections()).filter(isBusy), [])
})

for (const transaction of ['on-write', 'on-query'] as const) {
  onEachPool(`a stream that is left gives its connection back when the server sends nothing more, with transaction: ${transaction}`, async (t, database) => {
    await insertMany(database, LARGE)
    const orm = await database.another({ pool: { min: 0, max: 1 } })
    await runInContext({ orm, transaction }, async () => {
      for await (const book of em().stream(Book)) if (book !== null) break
      if (transaction === 'on-query') await em().insert(Book, { title: 'after it' })
    })
    t.strictSame((await database.connections()).filter(isBusy), [])
    t.equal(database.taken(), 0)
    t.equal(await orm.em.fork().count(Book), transaction === 'on-query' ? LARGE + 1 : LARGE)
  })
}

onEachPool('a stream that the server ends after its reader has left does no harm to the process', async (t, database) => {
  const { orm, kill, connections, taken } = database
  const assertNoStrayErrors = watchStrayErrors(t)
  await insertMany(database, LARGE)
  await runInContext({ orm }, async () => {
    const stream = em().stream(Book)[Symbol.asyncIterator]()
    await stream.next()
    const killed = connections().then(async found => await Promise.all(found.filter(isBusy).map(({ id }) => kill(id))))
    await stream.return!(undefined).catch(() => {})
    await killed
  })
  await until(() => taken() === 0)
  await assertNoStrayErrors()
})

onEachPool('a write from inside a stream that is being replied is refused, and the client sees that the reply is not whole', async (t, database) => {
  const { orm, taken, titles } = database
  await insertMany(database, 1000)
  const refused = Promise.withResolvers<unknown>()
  const { get } = await startServer(t, { orm }, app => {
    app.get('/', async () => Readable.from(writing()))
  })
  async function * writing (): AsyncGenerator<string> {
    for await (const book of em().stream(Book)) {
      try {
        if (book.id === 500) await em().nativeUpdate(Book, book.id, { title: 'late' })
      } catch (error) {
        refused.resolve(error)
        throw error
      }
      yield JSON.stringify(book) + '\n'
    }
  }
  const response = await get('/')
  t.equal(response.status, 200, 'which is on its way by then')
  await t.rejects(response.text())
  t.match(await refused.promise, { code: 'FST_ORM_CONTEXT_ENDED', message: /^GET \/ has ended \(untouched\), which is too late for this: update ["`]book["`] …/ })
  await until(() => taken() === 0)
  t.notOk((await titles()).includes('late'))
})

async function * counted (books: AsyncIterable<unknown>, count: () => void): AsyncGenerator<unknown> {
  for await (const book of books) {
    count()
    yield book
  }
}

/** Rows of about 5,000 bytes. */
async function insertMany ({ orm, kind }: TestDatabase, count: number): Promise<void> {
  const [widen, rows] = kind === 'mariadb'
    ? ['alter table book drop index book_title_unique, modify title text', `select concat(seq, repeat('x', 4950)), 3 from seq_1_to_${count}`]
    : ['alter table book alter column title type text', `select i || repeat('x', 4950), 3 from generate_series(1, ${count}) i`]
  await orm.schema.execute(widen)
  await orm.em.fork().execute(`insert into book (title, stock) ${rows}`)
}

/** Until a number grows no more: nothing says that a stream has come to a stop. */
async function untilStill (read: () => number): Promise<void> {
  for (let last = -1; last !== read();) {
    last = read()
    const since = performance.now()
    await until(() => performance.now() - since > 300)
  }
}

/** What is left after garbage collection, buffers included, without a flag for the whole process. */
function usedMemory (): number {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

for (const transaction of ['on-write', 'on-query'] as const) {
  onEachPool(`a stream whose connection dies fails, and gives it back, with transaction: ${transaction}`, async (t, database) => {
    const { another, connections, kill, taken } = database
    havingLittlePatience(t)
    await insertMany(database, LARGE)
    const orm = await another({ pool: { min: 0, max: 2 } })
    const killAll = async (): Promise<void> => {
      for (const { id } of await connections()) await kill(id)
    }
    const read = (onFirst: () => Promise<void>): Promise<void> => runInContext({ orm, transaction }, async () => {
      let count = 0
      for await (const book of (em() as any).stream(Book)) if (book !== null && count++ === 0) await onFirst()
    })
    for (let i = 0; i < 3; i++) await t.rejects(read(killAll)) // more than the pool has connections
    await t.rejects(read(async () => {
      await killAll()
      throw new Error('left')
    }), /left|connection/i, 'also if nobody reads on')
    t.equal(taken(), 0)
    await read(async () => {})
  })
}

onEachPool('a stream whose rows come slowly, on a connection that is well, comes to its end', async (t, { orm, slowRows, taken }) => {
  havingLittlePatience(t)
  const slow = sql.raw(slowRows(0.2))
  const rows = await runInContext({ orm }, async () => {
    const found: unknown[] = []
    const kysely = (em() as unknown as SqlEntityManager).getKysely()
    for await (const row of kysely.getExecutor().stream(slow.compile(kysely), 1)) found.push(...row.rows)
    return found
  })
  t.equal(rows.length, 2)
  t.equal(taken(), 0)
})

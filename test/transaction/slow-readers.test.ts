import type { SqlEntityManager } from '@mikro-orm/sql'
import { sql } from 'kysely'
import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import { connect } from 'node:net'
import { Readable } from 'node:stream'
import { setTimeout } from 'node:timers/promises'
import { em, runInContext } from '../../index.ts'
import { Book, onEachDatabase, onEachPool, type TestDatabase } from '../support/databases.ts'
import { startServer } from '../support/server.ts'
import { until } from '../support/until.ts'

async function * lines (): AsyncGenerator<string> {
  for await (const book of em().stream(Book)) yield `${JSON.stringify(book)}\n`
}

/** More than the buffers of two sockets hold. */
async function fill (database: TestDatabase): Promise<void> {
  const { orm, kind } = database
  for (const statement of FILLING[kind]!) await orm.em.getConnection().execute(statement)
}

const FILLING: Partial<Record<TestDatabase['kind'], string[]>> = {
  sqlite: ["insert into book (title, stock) select i || replace(hex(zeroblob(5000)), '0', 'x'), 3 from (with recursive n (i) as (select 1 union all select i + 1 from n where i < 2000) select i from n)"],
  postgresql: ['alter table book alter column title type text', "insert into book (title, stock) select i || repeat('x', 10000), 3 from generate_series(1, 2000) i"],
  mariadb: ['alter table book drop index book_title_unique, modify title text', "insert into book (title, stock) select concat(seq, repeat('x', 10000)), 3 from seq_1_to_2000"]
}

interface SlowClient {
  /** Reads on. Resolves with what has come when the connection has closed, which it may have by now. */
  readAll (): Promise<string>
}

/** A client that sends a request and reads nothing. */
async function connectSlowly (origin: string): Promise<SlowClient> {
  const socket = connect(Number(new URL(origin).port), '127.0.0.1').pause()
  let received = ''
  socket.on('error', () => {}) // its connection is broken
  const closed = new Promise<void>(resolve => socket.on('close', () => resolve()))
  await once(socket, 'connect')
  socket.write('GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n')
  return {
    async readAll () {
      socket.on('data', data => { received += data })
      socket.resume()
      await closed
      return received
    }
  }
}

const SLOW = /^GET \/ keeps a connection to "default" for a stream of rows whose reader has not read on for \d+ ms\. Read faster/

onEachDatabase('a client that reads slowly is a warning, once, and gets all in the end', async (t, database) => {
  await fill(database)
  const { app, log } = await startServer(t, { orm: database.orm, warnHeldMs: 200 }, app => {
    app.get('/', async () => Readable.from(lines()))
  })
  const client = await connectSlowly(app.listeningOrigin)
  await until(() => log.length > 0)
  await setTimeout(500) // in which a second one would come
  t.match(log, [{ level: 40, msg: SLOW }])
  t.equal(log.length, 1)
  t.ok((await client.readAll()).endsWith('\r\n0\r\n\r\n'))
  await until(() => database.taken() === 0)
  t.equal(log.length, 1)
})

onEachPool('with a streamTimeout, slow clients do not stop the pool, and their replies break off', async (t, database) => {
  const { orm, taken } = database
  await fill(database)
  const { app, get, log } = await startServer(t, { orm, streamTimeout: 1500 }, app => {
    app.get('/', async () => Readable.from(lines()))
    app.get('/count', async () => em().count(Book))
  })
  const clients = await Promise.all(Array.from({ length: 5 }, () => connectSlowly(app.listeningOrigin)))
  await until(() => taken() === 5)
  t.equal(await (await get('/count')).text(), '2000')
  await until(() => taken() === 0)
  for (const client of clients) t.notOk((await client.readAll()).endsWith('\r\n0\r\n\r\n'), 'which would be its end')
  const timeouts = log.filter(({ err }) => err?.code === 'FST_ORM_STREAM_TIMEOUT')
  t.equal(timeouts.length, 5)
  t.match(timeouts[0], { level: 50, msg: /^GET \/ has streamed rows of "default" whose reader did not read on for 1500 ms: the stream was ended/ })
})

onEachDatabase('on HTTP/2, it is the one stream that breaks off', async (t, database) => {
  await fill(database)
  const { app, log } = await startServer(t, { orm: database.orm, streamTimeout: 300, server: { http2: true } as object }, app => {
    app.get('/', async () => Readable.from(lines()))
    app.get('/count', async () => em().count(Book))
  })
  const session = connectHttp2(app.listeningOrigin)
  const slow = session.request({ ':path': '/' }).pause()
  slow.on('error', () => {})
  await once(slow, 'response')
  const broken = new Promise(resolve => slow.on('close', resolve))
  await until(() => log.length > 0 && database.taken() === 0)
  slow.resume()
  await broken
  t.equal(slow.rstCode, 2, 'INTERNAL_ERROR')
  const count = session.request({ ':path': '/count' }).setEncoding('utf8')
  t.equal((await count.toArray()).join(''), '2000')
  await new Promise<void>(resolve => session.close(resolve))
})

onEachDatabase('a handler that reads slowly gets an error, as its route says, and so does a branch', async (t, { orm, taken, titles }) => {
  await orm.em.fork().insertMany(Book, Array.from({ length: 300 }, (_, i) => ({ title: `book ${i}` })))
  const { failure, get, log } = await startServer(t, { orm, streamTimeout: 60_000 }, app => {
    const read = async (): Promise<void> => {
      for await (const book of em().stream(Book)) {
        await until(() => book !== null && log.some(({ err }) => err?.code === 'FST_ORM_STREAM_TIMEOUT'))
      }
    }
    const config = { orm: { streamTimeout: 100 } }
    app.get('/read', { config }, read)
    app.get('/write', { config }, async () => {
      await em().insert(Book, { title: 'Emma' })
      await read()
    })
    app.get('/branch', { config }, async () => runInContext({ name: 'reading' }, read))
    app.get('/fast', async () => (await Readable.from(em().stream(Book)).toArray()).length)
  })
  for (const [path, context] of [['/read', 'GET /read'], ['/write', 'GET /write'], ['/branch', 'reading']] as const) {
    log.length = 0
    t.match(await failure(get(path)), { statusCode: 500, code: 'FST_ORM_STREAM_TIMEOUT' }, path)
    t.equal(log[0]!.msg.split(' has streamed')[0], context)
    await until(() => taken() === 0)
  }
  t.equal(await (await get('/fast')).text(), '300')
  t.equal((await titles()).length, 300)
})

onEachPool('a database that is slow is nobody\'s slow reader', async (t, { orm, slowRows }) => {
  const { get, log } = await startServer(t, { orm, warnHeldMs: 100, streamTimeout: 200 }, app => {
    app.get('/', async () => {
      const kysely = (em() as unknown as SqlEntityManager).getKysely()
      const query = sql.raw(slowRows(0.5)).compile(kysely)
      return (await Readable.from(kysely.getExecutor().stream(query, 1)).toArray()).length
    })
  })
  t.equal(await (await get('/')).text(), '2')
  t.strictSame(log.filter(({ msg }) => msg.includes('reader')), [])
})

import { CheckConstraintViolationException, DriverException, LockWaitTimeoutException, RowLevelSecurityViolationException } from '@mikro-orm/core'
import type { FastifyError, FastifyInstance } from 'fastify'
import { em } from '../../index.ts'
import { Book, onEachDatabase, onEachPool, onEveryEngine, onMariadb, onPostgres, onSqlite } from '../support/databases.ts'
import { isBlocked } from '../support/server-connections.ts'
import { startServer } from '../support/server.ts'
import { terminateWhen } from '../support/terminate.ts'

const SECRETS = /book|title|insert|select|secret|constraint|relation/i

/** How a handler comes by each exception, and the status that it gets. */
const FAILURES: Record<string, [statusCode: number, name: string, fail: () => Promise<unknown>]> = {
  '/unique': [409, 'UniqueConstraintViolationException', async () => {
    await em().insert(Book, { title: 'secret' })
    await em().insert(Book, { title: 'secret' })
  }],
  '/unique-at-flush': [409, 'UniqueConstraintViolationException', async () => {
    em().create(Book, { title: 'secret' })
    return em().create(Book, { title: 'secret' })
  }],
  '/not-found': [404, 'NotFoundError', () => em().findOneOrFail(Book, { title: 'secret' })],
  '/not-null': [422, 'NotNullConstraintViolationException', () => (em() as any).execute('insert into book (title) values (null)')],
  '/syntax': [500, '', () => (em() as any).execute("select 'secret' from nowhere")],
  '/kysely': [500, '', () => (em() as any).getKysely().selectFrom('nowhere').select('secret').execute()],
  '/read-only': [500, 'FastifyError', () => (em() as any).execute("update book set title = 'secret'")]
}

function routes (app: FastifyInstance): void {
  for (const [path, [, , fail]] of Object.entries(FAILURES)) app.get(path, { config: { orm: { readOnly: path === '/read-only' } } }, fail)
}

onEachDatabase('exceptions of the database have the status that fits, and replies keep the database to themselves', async (t, { orm }) => {
  const { get, log } = await startServer(t, { orm, server: { logger: undefined } }, routes)
  for (const [path, [statusCode]] of Object.entries(FAILURES)) {
    const response = await get(path)
    t.equal(response.status, statusCode, path)
    t.equal(response.headers.get('retry-after'), null)
    const text = await response.text()
    t.equal(Number(response.headers.get('content-length')), text.length)
    const reply = JSON.parse(text)
    t.match(reply, { statusCode, message: reply.error })
    t.notMatch(text, SECRETS, text)
  }
  t.ok(log.length === 0)
})

onEachDatabase('the log and the app\'s own error handler get the original exception', async (t, { orm }) => {
  const seen: [FastifyError, number][] = []
  const { get, log } = await startServer(t, { orm }, app => {
    routes(app)
    app.register(async app => {
      app.setErrorHandler((error: FastifyError, _request, reply) => {
        seen.push([error, reply.statusCode])
        reply.code(418).send({ message: error.message })
      })
      app.get('/own', FAILURES['/unique']![2])
      app.register(async app => {
        app.setErrorHandler((error: FastifyError) => { throw error })
        app.get('/rethrown', FAILURES['/unique']![2])
      })
    })
    app.get('/sent', { errorHandler: (error, _request, reply) => { reply.send(error) } }, FAILURES['/unique']![2])
    app.get('/null', { errorHandler: (_error, _request, reply) => { reply.code(409).send('null') } }, FAILURES['/unique']![2])
    app.get('/late', {
      async errorHandler (_error, _request, reply) {
        reply.code(400)
        await em().insert(Book, { title: 'secret' })
      }
    }, async () => { throw new Error('no') })
    app.get('/buffer', { errorHandler: (error, _request, reply) => { reply.code(409).send(Buffer.from(error.message)) } }, FAILURES['/unique']![2])
    app.get('/text', { errorHandler: (error, _request, reply) => { reply.code(409).type('text/plain').send(error.message) } }, FAILURES['/unique']![2])
  })
  for (const path of ['/own', '/rethrown']) {
    const response = await get(path)
    t.equal(response.status, 418)
    t.match((await response.json() as any).message, SECRETS, 'its own words')
    t.match(seen.at(-1), [{ name: 'UniqueConstraintViolationException', statusCode: undefined, message: SECRETS }, 409])
  }
  const sent = await get('/sent')
  t.equal(sent.status, 409)
  t.notMatch(await sent.text(), SECRETS, 'but not if it only passes the error on')
  t.equal(await (await get('/null')).text(), 'null')
  const late = await get('/late')
  t.match(await late.json(), { statusCode: 400, code: 'FST_ORM_CONTEXT_ENDED', message: 'Bad Request' }, 'nor what its own late write was')
  for (const path of ['/text', '/buffer']) t.match(await (await get(path)).text(), SECRETS)
  await get('/syntax')
  t.match(log.at(-1), { level: 50, err: { message: /nowhere/ } })
})

onEachDatabase('what an error handler sends as JSON of its own is left as it is', async (t, { orm }) => {
  const own = ['[{"detail":"taken"}]', '{"id":12345678901234567890,"a":1.0}', '{"title":"Conflict","status":409,"name":"UniqueConstraintViolationException"}', '{ "message": "taken" }']
  const { get } = await startServer(t, { orm }, app => {
    for (const [i, payload] of own.entries()) {
      app.get(`/${i}`, { errorHandler: (_error, _request, reply) => { reply.code(409).type('application/problem+json').send(payload) } }, FAILURES['/unique']![2])
    }
    app.get('/message', { errorHandler: (error, _request, reply) => { reply.code(409).type('application/json').send(JSON.stringify({ message: error.message, mine: 1 })) } }, FAILURES['/unique']![2])
  })
  for (const [i, payload] of own.entries()) t.equal(await (await get(`/${i}`)).text(), payload)
  t.match(await (await get('/message')).json(), { message: SECRETS, mine: 1 })
})

onEachDatabase('an error with a response schema keeps the database to itself, too', async (t, { orm }) => {
  const schema = { response: { '4xx': { type: 'object', properties: { message: { type: 'string' }, statusCode: { type: 'integer' } } } } }
  const { get } = await startServer(t, { orm }, app => {
    app.get('/', { schema }, FAILURES['/unique']![2])
    const asksForMore = { response: { '4xx': { type: 'object', properties: { detail: { type: 'string' }, name: { type: 'string' }, stack: { type: 'string' }, code: { const: 'none of the error' } } } } }
    app.get('/detail', { schema: asksForMore }, FAILURES['/unique']![2])
  })
  t.strictSame(await (await get('/')).json(), { message: 'Conflict', statusCode: 409 })
  t.strictSame(await (await get('/detail')).json(), { name: 'Error' }, 'whatever it asks for')
})

onSqlite('a status that an exception has already stays, and so does what is no exception of the database', async (t, { orm }) => {
  const { get } = await startServer(t, { orm }, app => {
    app.get('/own-status', async () => { throw Object.assign(await FAILURES['/unique']![2]().catch(error => error) as Error, { statusCode: 499 }) })
    app.get('/other', async () => { throw new Error('the title of a book') })
    app.get('/no-stack', async () => { throw Object.assign(new Error('from nowhere'), { stack: undefined }) })
    app.get('/code', async () => { throw Object.assign(new Error('teapot'), { statusCode: 418 }) })
    app.get('/null', async () => { throw null }) // eslint-disable-line no-throw-literal
    app.get('/frozen', async () => { throw Object.freeze(await FAILURES['/unique']![2]().catch(error => error)) })
    app.get('/no-context', { config: { orm: false } }, async () => await orm.em.fork().findOneOrFail(Book, { title: 'secret' }))
  })
  t.match(await (await get('/own-status')).json(), { statusCode: 499, message: 'Error' })
  t.match(await (await get('/other')).json(), { statusCode: 500, message: 'the title of a book' })
  t.match(await (await get('/no-stack')).json(), { statusCode: 500, message: 'from nowhere' })
  t.match(await (await get('/code')).json(), { statusCode: 418, message: 'teapot' })
  t.equal((await get('/null')).status, 500)
  const frozen = await get('/frozen')
  t.equal(frozen.status, 409)
  t.notMatch(await frozen.text(), SECRETS)
  const notFound = await get('/no-context')
  t.equal(notFound.status, 404)
  t.notMatch(await notFound.text(), SECRETS)
})

onEachDatabase('with statusCodes: false, exceptions keep to what they were', async (t, { orm }) => {
  const { get } = await startServer(t, { orm, statusCodes: false }, routes)
  for (const path of Object.keys(FAILURES)) {
    const response = await get(path)
    t.equal(response.status, 500, path)
    t.notMatch(await response.text(), SECRETS)
  }
})

onPostgres('what only PostgreSQL does has its status, too', async (t, { orm }) => {
  await orm.em.fork().execute(`
    alter table book add constraint positive check (stock >= 0);
    create table review (book_id int references book (id))
  `)
  const locked = orm.em.fork()
  const { get } = await startServer(t, { orm }, app => {
    app.get('/check', () => (em() as any).execute("insert into book (title, stock) values ('secret', -1)"))
    app.get('/foreign-key', () => (em() as any).execute('insert into review values (99)'))
    app.get('/lock-timeout', async () => {
      await (em() as any).execute("set local lock_timeout = '10ms'")
      await em().nativeUpdate(Book, { title: 'locked' }, { stock: 1 })
    })
    app.get('/lost', () => (em() as any).execute('select pg_terminate_backend(pg_backend_pid())'))
    app.get('/lost-by-kysely', () => (em() as any).getKysely()
      .selectNoFrom((e: any) => e.fn('pg_terminate_backend', [e.fn('pg_backend_pid', [])]).as('terminated')).execute())
    app.get('/security', async () => { throw new RowLevelSecurityViolationException(new Error('secret')) })
    app.get('/sqlite-lock', async () => { throw new LockWaitTimeoutException(new Error('secret')) })
    app.get('/refused', async () => { throw new DriverException(Object.assign(new Error('connect'), { code: 'ECONNREFUSED' })) })
    app.get('/named', async () => { throw new CheckConstraintViolationException(new Error('secret')) })
  })
  await locked.insert(Book, { title: 'locked' })
  await locked.begin()
  await locked.nativeUpdate(Book, { title: 'locked' }, { stock: 2 })
  const expected = { '/check': 422, '/foreign-key': 409, '/lock-timeout': 503, '/lost': 503, '/lost-by-kysely': 503, '/security': 403, '/sqlite-lock': 503, '/refused': 503, '/named': 422 }
  for (const [path, statusCode] of Object.entries(expected)) {
    const response = await get(path)
    t.equal(response.status, statusCode, path)
    t.equal(response.headers.get('retry-after'), statusCode === 503 ? '1' : null)
    t.notMatch(await response.text(), SECRETS)
  }
  await locked.rollback()
})

onMariadb('what MariaDB says has its status, too', async (t, database) => {
  const { orm } = database
  for (const sql of ['alter table book add constraint positive check (stock >= 0)', 'create table review (book_id int unsigned, foreign key (book_id) references book (id))']) {
    await orm.em.fork().execute(sql)
  }
  const locked = orm.em.fork()
  const { get } = await startServer(t, { orm }, app => {
    app.get('/check', () => (em() as any).execute("insert into book (title, stock) values ('secret', -1)"))
    app.get('/foreign-key', () => (em() as any).execute('insert into review values (99)'))
    app.get('/lock-timeout', () => (em() as any).execute("set statement innodb_lock_wait_timeout = 1 for update book set stock = 1 where title = 'locked'"))
    app.get('/nowait', () => (em() as any).execute("select title from book where title = 'locked' for update nowait"))
    app.get('/lost', () => (em() as any).execute('kill connection_id()'))
    app.get('/lost-by-kysely', () => (em() as any).getKysely().updateTable('book').set({ stock: 1 }).where('title', '=', 'locked').execute())
    app.get('/too-long', () => (em() as any).execute('insert into book (title) values (?)', ['secret'.repeat(100)]))
  })
  await locked.insert(Book, { title: 'locked' })
  await locked.begin()
  await locked.nativeUpdate(Book, { title: 'locked' }, { stock: 2 })
  const check = async (path: string, statusCode: number, response = get(path)): Promise<void> => {
    const { status, headers } = await response
    t.equal(status, statusCode, path)
    t.equal(headers.get('retry-after'), statusCode === 503 ? '1' : null, path)
    t.notMatch(await (await response).text(), SECRETS)
  }
  const expected = { '/check': 422, '/foreign-key': 409, '/lock-timeout': 503, '/nowait': 503, '/lost': 503, '/too-long': 500 }
  for (const [path, statusCode] of Object.entries(expected)) await check(path, statusCode)
  const waiting = get('/lost-by-kysely')
  await terminateWhen(database, isBlocked)
  await check('/lost-by-kysely', 503, waiting)
  await locked.rollback()
})

onEachPool('one of two requests that wait for each other gets 503, and may try again', async (t, { orm }) => {
  await orm.em.fork().insertMany(Book, [{ title: 'a' }, { title: 'b' }])
  const both = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const { get } = await startServer(t, { orm }, app => {
    app.get('/:n', async request => {
      const n = Number((request.params as any).n)
      await em().nativeUpdate(Book, { title: 'ab'[n]! }, { stock: n })
      both[n]!.resolve()
      await both[1 - n]!.promise
      await em().nativeUpdate(Book, { title: 'ba'[n]! }, { stock: n })
      return 'ok'
    })
  })
  const replies = await Promise.all([get('/0'), get('/1')])
  t.strictSame(replies.map(({ status }) => status).sort(), [200, 503])
  t.equal(replies.find(({ status }) => status === 503)!.headers.get('retry-after'), '1')
})

onEveryEngine('what a driver throws outside of contexts is for the log only', async (t, { orm }) => {
  const { get, log } = await startServer(t, { orm }, app => {
    app.get('/', { config: { orm: false } }, () => (orm.em.fork() as any).getKysely().selectFrom('nowhere').select('secret').execute())
  })
  t.strictSame(await (await get('/')).json(), { statusCode: 500, error: 'Internal Server Error', message: 'Internal Server Error' })
  t.match(log.at(-1)?.err, { message: /nowhere/ })
})

onMariadb('what mysql2 says by itself is not shown either', async (t, { orm }) => {
  const { get } = await startServer(t, { orm }, app => {
    app.get('/', async () => {
      const pool = await (em().getConnection() as any).getNativeClient()
      await pool.promise().query('select * from secret_table')
    })
  })
  t.strictSame(await (await get('/')).json(), { statusCode: 500, error: 'Internal Server Error', message: 'Internal Server Error' })
})

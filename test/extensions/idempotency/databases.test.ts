import { randomUUID } from 'node:crypto'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { request } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import compress from '@fastify/compress'
import etag from '@fastify/etag'
import { deleteExpiredKeys, IdempotencyKey, type CleanedEvent, type IdempotencyEvent } from '../../../idempotency.ts'
import { em, runInContext } from '../../../index.ts'
import { createSandbox } from '../../../testing.ts'
import { Book, onEachDatabase, onEachPool, onEveryEngine, onPostgres, onSqlite } from '../../support/databases.ts'
import { until } from '../../support/until.ts'
import { ONCE, startKeyedServer, withKeys, type KeyedServer } from './keyed-server.ts'

onEveryEngine('a key that is too old is a new one, and is deleted in batches', async (t, database) => {
  const orm = await withKeys(database)
  let handled = 0
  const { post } = await startKeyedServer(t, { orm, keys: { maxAge: 1 } }, app => {
    app.post('/', { config: ONCE }, async () => ({ handled: ++handled }))
    app.post('/kept', { config: { idempotency: { maxAge: 60_000 } } }, async () => ({ handled: ++handled }))
  })
  t.equal((await post('/', 'a')).body, '{"handled":1}')
  await sleep(5)
  t.equal((await post('/', 'a', { another: 'body' })).body, '{"handled":2}')
  await post('/kept', 'b')
  for (const key of 'cdefg') await post('/', key)
  await sleep(5)
  const events: CleanedEvent[] = []
  const note = (event: unknown): void => { events.push(event as CleanedEvent) }
  subscribe('fastify-context-orm:idempotency-cleaned', note)
  t.teardown(() => unsubscribe('fastify-context-orm:idempotency-cleaned', note))
  t.equal(await deleteExpiredKeys({ orm, batch: 2 }), 6)
  t.equal(await runInContext({ orm }, () => deleteExpiredKeys()), 0)
  t.match(events, [{ deleted: 6 }, { deleted: 0 }])
  t.equal(await orm.em.fork().count(IdempotencyKey), 1)
  t.equal((await post('/kept', 'b')).headers.get('idempotency-replayed'), 'true')
  await t.rejects(deleteExpiredKeys({ orm, batch: 0 }), { code: 'FST_ORM_BAD_OPTION' })
})

onEveryEngine('it cleans up by itself, and stops with the app', async (t, database) => {
  const orm = await withKeys(database)
  const { app, post, log } = await startKeyedServer(t, { orm, keys: { maxAge: 1, cleanUpEvery: 10 } }, app => {
    app.post('/', { config: ONCE }, async () => 'ok')
  })
  await post('/', 'a')
  await until(async () => await orm.em.fork().count(IdempotencyKey) === 0)
  await orm.schema.drop()
  await until(() => log.some(({ msg }) => msg.includes('could not be deleted')))
  await app.close()
})

onEveryEngine('with several databases, the one that it is told keeps the keys', async (t, database) => {
  const keeper = await withKeys(database)
  const other = await database.another({ contextName: 'other' })
  for (const orm of [[other, keeper], [keeper, other]]) {
    for (const name of ['default', keeper] as const) {
      const { post } = await startKeyedServer(t, { orm: orm as any, keys: { orm: name as any } }, app => {
        app.post('/', { config: ONCE }, async () => em('default').create(Book, { title: randomUUID() }))
      })
      const key = randomUUID()
      t.equal((await post('/', key)).body, (await post('/', key)).body)
    }
  }
  t.equal(await keeper.em.fork().count(IdempotencyKey), 4)
})

for (const on of [onSqlite, onEachPool]) {
  on('in a sandbox everything is as outside, and gone afterwards', async (t, database) => {
    if (database.kind === 'mariadb') return
    const orm = await withKeys(database)
    const { app } = await startKeyedServer(t, { orm }, app => {
      app.post('/', { config: ONCE }, async request => em().create(Book, request.body as any))
    })
    const sandbox = await createSandbox(orm)
    await sandbox.run(async () => {
      const post = async (title: string): Promise<any> => await app.inject({ method: 'POST', url: '/', headers: { 'idempotency-key': 'a' }, payload: { title } })
      const [one, two] = await Promise.all([post('Emma'), post('Emma')])
      t.equal(one.statusCode, 200)
      t.equal(two.body, one.body)
      t.equal((await post('Persuasion')).statusCode, 422)
      if (database.kind === 'postgresql') t.match(await sandbox.em.getConnection('write').execute('select 1 as one'), [{ one: 1 }])
    })
    t.equal(await sandbox.em.count(Book), 1)
    await sandbox.rollback()
    t.equal(await orm.em.fork().count(IdempotencyKey), 0)
  })
}

onEveryEngine('bodies of all kinds come back byte for byte; cookies do not, and headers of hooks are made anew', async (t, database) => {
  const { url } = await startKeyedServer(t, {
    orm: await withKeys(database),
    before: app => { app.addHook('onRequest', async (request, reply) => { reply.header('x-request', request.id).header('x-same', 'same') }) }
  }, app => {
    app.post('/buffer', { config: ONCE }, async (_request, reply) => reply.type('image/png').send(Buffer.from([0, 255, 39, 92, 0])))
    app.post('/bytes', { config: ONCE }, async (_request, reply) => reply.send(new Uint8Array([1, 2, 3])))
    app.post('/text', { config: ONCE }, async () => 'ünïcode')
    app.post('/nothing', { config: ONCE }, async (_request, reply) => reply.code(204).send())
    app.post('/null', { config: ONCE }, async (_request, reply) => reply.send(null))
    app.post('/large', { config: ONCE }, async () => 'x'.repeat(100_000))
    app.post('/headers', { config: ONCE }, async (_request, reply) => reply.header('set-cookie', 'secret=1').header('x-many', ['a', 'b']).header('x-number', 1).header('x-same', 'other').send('ok'))
    app.post('/cookies', { config: { idempotency: { omitHeaders: ['X-Secret'] } } }, async (_request, reply) => reply.header('set-cookie', 'a=1').header('set-cookie', 'b=2').header('x-secret', 'yes').send('ok'))
  })
  const key = randomUUID()
  const send = async (path: string): Promise<{ status: number, type: string | null, length: string | null, bytes: Buffer, headers: Headers }> => {
    const response = await fetch(url + path, { method: 'POST', headers: { 'idempotency-key': `${key}${path}` } })
    const { status, headers } = response
    return { status, type: headers.get('content-type'), length: headers.get('content-length'), bytes: Buffer.from(await response.arrayBuffer()), headers }
  }
  for (const path of ['/buffer', '/bytes', '/text', '/nothing', '/null', '/large']) {
    const { headers: _first, ...first } = await send(path)
    const { headers, ...again } = await send(path)
    t.strictSame(again, first, path)
    t.equal(headers.get('idempotency-replayed'), 'true')
    t.not(headers.get('x-request'), null)
  }
  const [first, again] = [await send('/headers'), await send('/headers')]
  t.equal(first.headers.get('set-cookie'), 'secret=1')
  t.equal(again.headers.get('set-cookie'), null)
  for (const [name, value] of [['x-many', 'a, b'], ['x-number', '1'], ['x-same', 'other']] as const) t.equal(again.headers.get(name), value)
  t.not(again.headers.get('x-request'), first.headers.get('x-request'))
  const [cookies, sameCookies] = [await send('/cookies'), await send('/cookies')]
  t.equal(cookies.headers.get('x-secret'), 'yes')
  t.equal(sameCookies.headers.get('x-secret'), null)
  t.strictSame(sameCookies.headers.getSetCookie(), ['a=1', 'b=2'])
})

for (const when of ['before', 'after'] as const) {
  onSqlite(`@fastify/compress and @fastify/etag, registered ${when} it: a replay suits its own client`, async (t, database) => {
    const { url } = await startKeyedServer(t, {
      orm: await withKeys(database),
      [when]: (app: any) => { app.register(compress, { threshold: 0, syncThreshold: 10 }).register(etag) }
    }, app => {
      app.post('/', { config: ONCE }, async () => ({ long: 'x'.repeat(1000) }))
    })
    const send = async (encoding: string): Promise<[Buffer, Headers]> => {
      return await new Promise((resolve, reject) => {
        const sent = request(url, { method: 'POST', headers: { 'idempotency-key': 'a', 'accept-encoding': encoding } }, async response => {
          resolve([await buffer(response), response.headers as never])
        })
        sent.on('error', reject).end()
      })
    }
    const [first, headers] = await send('gzip') as [Buffer, any]
    const [again, headersAgain] = await send('gzip') as [Buffer, any]
    t.equal(headersAgain['idempotency-replayed'], 'true')
    t.equal(headersAgain['content-encoding'], 'gzip')
    t.strictSame(again, first)
    t.equal(headersAgain.etag, headers.etag)
    t.type(headers.etag, 'string')
    const [plain, headersPlain] = await send('identity') as [Buffer, any]
    t.equal(headersPlain['content-encoding'], undefined)
    t.match(JSON.parse(String(plain)), { long: /^x{1000}$/ })
  })
}

onSqlite('events say what became of each key, and nobody pays for them otherwise', async (t, database) => {
  const { post } = await startKeyedServer(t, { orm: await withKeys(database) }, app => {
    app.post('/:id', { config: ONCE }, async () => 'ok')
  })
  await post('/1', 'before')
  const events: IdempotencyEvent[] = []
  const note = (event: unknown): void => { events.push(event as IdempotencyEvent) }
  subscribe('fastify-context-orm:idempotency', note)
  t.teardown(() => unsubscribe('fastify-context-orm:idempotency', note))
  await post('/1', 'a')
  await post('/1', 'a')
  await post('/2', 'a')
  await post('/2')
  t.match(events, [
    { result: 'claimed', method: 'POST', route: '/:id', requestId: /^req-/, error: undefined }, { result: 'replayed' },
    { result: 'refused', error: { code: 'FST_ORM_IDEMPOTENCY_MISMATCH' } }
  ])
  t.equal(events.length, 3)
})

onEachDatabase('it costs a statement before the work and one after it, and none without a key', async (t, database) => {
  const orm = await withKeys(database)
  const { post } = await startKeyedServer(t, { orm }, app => {
    app.post('/', { config: ONCE }, async () => { await em().insert(Book, { title: randomUUID() }) })
    app.post('/without', async () => { await em().insert(Book, { title: randomUUID() }) })
  })
  await post('/without')
  await post('/', 'warm')
  const count = async (path: string, key?: string): Promise<number> => {
    database.sent.length = 0
    t.equal((await post(path, key)).status, 200)
    return database.sent.length
  }
  const without = await count('/without')
  t.equal(await count('/'), without)
  t.equal(await count('/', 'a'), without + 2)
  t.strictSame(database.sent.map(sql => /^(?:set statement \S+ for )?(\w+)/.exec(sql)![1]), ['begin', 'insert', 'insert', 'update', 'commit'])
})

onEachPool('of two that find a key which is too old, on two servers, one takes it over, and the other waits for its reply', async (t, database) => {
  const orm = await withKeys(database)
  const gate = Promise.withResolvers<void>()
  let handled = 0
  const servers = []
  for (let i = 0; i < 2; i++) {
    servers.push(await startKeyedServer(t, { orm: await withKeys(database), keys: { wait: 20_000 } }, app => {
      app.post('/', { config: ONCE }, async () => {
        if (++handled > 1) await gate.promise
        return { handled }
      })
    }))
  }
  const [one, other] = servers as [KeyedServer, KeyedServer]
  await one.post('/', 'a')
  await orm.em.fork().nativeUpdate(IdempotencyKey, {}, { expiresAt: 0 })
  const first = one.post('/', 'a')
  await until(() => handled === 2)
  const second = other.post('/', 'a')
  const isWaiting = database.kind === 'postgresql'
    ? "select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    : "select 1 from information_schema.processlist where db = database() and info like 'set statement innodb_lock_wait_timeout%'"
  await until(async () => (await database.observe(isWaiting)).length > 0)
  gate.resolve()
  t.match(await first, { status: 200, body: '{"handled":2}' })
  t.match(await second, { status: 200, body: '{"handled":2}' })
})

onEveryEngine('a table that is not there is an error, and nobody waits for it', async (t, database) => {
  const orm = await withKeys(database)
  const { post } = await startKeyedServer(t, { orm }, app => {
    app.post('/', { config: ONCE }, async () => 'ok')
  })
  await (orm as any).em.fork().execute('drop table idempotency_key')
  for (let i = 0; i < 2; i++) t.equal((await post('/', 'a')).status, 500)
})

onPostgres('a clean-up that is running ends with the app', async (t, database) => {
  const orm = await withKeys(database)
  const { app, log } = await startKeyedServer(t, { orm, keys: { cleanUpEvery: 1 } }, () => {})
  const locking = orm.em.fork() as any
  await locking.begin()
  await locking.execute('lock table idempotency_key in access exclusive mode')
  await until(async () => (await database.observe("select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()")).length > 0)
  await app.close()
  t.strictSame(log, [])
  await locking.rollback()
})

import { randomUUID } from 'node:crypto'
import { request as send } from 'node:http'
import { once } from 'node:events'
import { Readable } from 'node:stream'
import fp from 'fastify-plugin'
import { atomic, commit, em, rollback } from '../../../index.ts'
import { Book, onEachPool, onEveryEngine } from '../../support/databases.ts'
import { until } from '../../support/until.ts'
import { IdempotencyKey } from '../../../idempotency.ts'
import { ONCE, startKeyedServer, startKeyedServers, withKeys } from './keyed-server.ts'

const BEFORE = { 'idempotency-key': 'key', 'content-type': 'application/json' }

onEveryEngine('what is rolled back leaves the key free: a throw, a 4xx, a hook that fails after the reply was stored', async (t, database) => {
  const { titles } = database
  const orm = await withKeys(database)
  let attempts = 0
  const { post } = await startKeyedServer(t, {
    orm,
    after: app => {
      app.register(fp(async app => {
        app.addHook('onRoute', route => {
          route.onSend = [...[route.onSend ?? []].flat(), async request => { if (request.url === '/hook' && attempts < 2) throw new Error('no') }]
        })
      }))
    }
  }, app => {
    const write = async (): Promise<object> => {
      attempts++
      await em().insert(Book, { title: `${attempts}` })
      return { attempts }
    }
    app.post('/throw', { config: ONCE }, async () => {
      const reply = await write()
      if (attempts < 2) throw new Error('no')
      return reply
    })
    app.post('/status', { config: ONCE }, async (_request, reply) => {
      await write()
      return reply.code(attempts < 2 ? 422 : 200).send({ attempts })
    })
    app.post('/hook', { config: ONCE }, write)
  })
  for (const [path, status] of [['/throw', 500], ['/status', 422], ['/hook', 500]] as const) {
    attempts = 0
    const key = randomUUID()
    t.equal((await post(path, key)).status, status, path)
    t.strictSame(await titles(), [])
    t.equal((await orm.em.fork().count(IdempotencyKey)), 0)
    t.match(await post(path, key), { status: 200, body: '{"attempts":2}' })
    t.match(await post(path, key), { status: 200, body: '{"attempts":2}' })
    t.strictSame(await titles(), ['2'])
    await orm.em.fork().nativeDelete(Book, {})
    await orm.em.fork().nativeDelete(IdempotencyKey, {})
  }
})

onEveryEngine('a 4xx that the route commits is stored and replayed', async (t, database) => {
  const { post } = await startKeyedServer(t, { orm: await withKeys(database) }, app => {
    const config = { idempotency: true, orm: { shouldCommit: (_request: unknown, reply: { statusCode: number }) => reply.statusCode < 400 || reply.statusCode === 402 } }
    app.post('/', { config }, async (_request, reply) => {
      await em().insert(Book, { title: randomUUID() })
      return reply.code(402).send({ declined: randomUUID() })
    })
  })
  const first = await post('/', 'a')
  t.equal(first.status, 402)
  t.match(await post('/', 'a'), { status: 402, body: first.body })
  t.equal((await database.titles()).length, 1)
})

onEveryEngine('what cannot be stored is an error, and nothing is committed', async (t, database) => {
  const orm = await withKeys(database)
  const { post, log } = await startKeyedServer(t, { orm, keys: { maxBytes: 100 } }, app => {
    const write = async (): Promise<void> => { await em().insert(Book, { title: randomUUID() }) }
    app.post('/stream', { config: ONCE }, async (_request, reply) => {
      await write()
      return reply.send(Readable.from(['one']))
    })
    app.post('/response', { config: ONCE }, async () => {
      await write()
      return new Response('one')
    })
    app.post('/hijack', { config: ONCE }, async (_request, reply) => {
      await write()
      reply.hijack()
    })
    app.post('/large', { config: ONCE }, async () => {
      await write()
      return 'x'.repeat(101)
    })
    app.post('/small', { config: ONCE }, async () => 'x'.repeat(100))
  })
  for (const [path, why] of [['/stream', /is a stream/], ['/response', /is a stream/], ['/hijack', /was hijacked/], ['/large', /101 bytes, more than maxBytes \(100\)/]] as const) {
    t.match(await post(path, 'a'), { status: 500, json: { code: 'FST_ORM_IDEMPOTENCY_REPLY', message: why } }, path)
    t.match(log.at(-1), { err: { code: 'FST_ORM_IDEMPOTENCY_REPLY' } })
    t.strictSame(await database.titles(), [])
    t.equal(await orm.em.fork().count(IdempotencyKey), 0)
  }
  t.equal((await post('/small', 'a')).status, 200)
  t.match(await post('/stream'), { status: 200, body: 'one' }, 'without a key')
})

onEveryEngine('a commit by hand takes the key along: cut off before the reply, the request never happens again', async (t, database) => {
  let handled = 0
  const { post } = await startKeyedServer(t, { orm: await withKeys(database) }, app => {
    app.post('/', { config: ONCE }, async () => {
      handled++
      await em().insert(Book, { title: 'first part' })
      await commit()
      throw new Error('cut off')
    })
    app.post('/whole', { config: ONCE }, async () => {
      await em().insert(Book, { title: 'pending' })
      await commit()
      await em().nativeUpdate(Book, { title: 'pending' }, { title: 'done' })
      return { ok: randomUUID() }
    })
  })
  t.equal((await post('/', 'a')).status, 500)
  const refused = await post('/', 'a')
  t.match(refused, { status: 409, json: { code: 'FST_ORM_IDEMPOTENCY_UNKNOWN' } })
  t.equal(refused.headers.get('retry-after'), '1')
  t.equal(handled, 1)
  const whole = await post('/whole', 'b')
  t.equal((await post('/whole', 'b')).body, whole.body)
  t.strictSame(await database.titles(), ['done', 'first part'])
})

onEveryEngine('a rollback by hand gives the key up, and the reply brings it back', async (t, database) => {
  let handled = 0
  const { post } = await startKeyedServer(t, { orm: await withKeys(database) }, app => {
    app.post('/', { config: ONCE }, async () => {
      handled++
      await em().insert(Book, { title: 'lost' })
      await rollback()
      await em().insert(Book, { title: 'kept' })
      return { handled }
    })
    app.post('/atomic', { config: ONCE }, async () => {
      await atomic(async () => { throw new Error('caught') }, { existing: 'join' }).catch(() => {})
      await em().insert(Book, { title: 'after' })
      return { ok: randomUUID() }
    })
  })
  for (let i = 0; i < 2; i++) t.match(await post('/', 'a'), { status: 200, body: '{"handled":1}' })
  t.equal((await post('/atomic', 'b')).body, (await post('/atomic', 'b')).body)
  t.strictSame(await database.titles(), ['after', 'kept'])
})

onEachPool('whose key somebody else takes after a rollback by hand is refused, and writes nothing', async (t, database) => {
  const gate = Promise.withResolvers<void>()
  let handled = 0
  const servers = await startKeyedServers(t, database, 2, app => {
    app.post('/', { config: ONCE }, async () => {
      const title = `${++handled}`
      if (title === '1') {
        await rollback()
        await gate.promise
      }
      return em().create(Book, { title })
    })
  })
  const first = servers[0]!.post('/', 'a')
  await until(() => handled === 1)
  const second = await servers[1]!.post('/', 'a')
  gate.resolve()
  t.match(await first, { status: 409, json: { code: 'FST_ORM_IDEMPOTENCY_IN_PROGRESS' } })
  t.equal((await first).headers.get('retry-after'), '1')
  t.strictSame(await database.titles(), ['2'])
  t.equal((await servers[0]!.post('/', 'a')).body, second.body)
})

for (const onAbort of ['rollback', 'commit'] as const) {
  onEveryEngine(`a client that goes away and comes again, with onAbort: '${onAbort}'`, async (t, database) => {
    const gate = Promise.withResolvers<void>()
    let handled = 0
    const { post, url } = await startKeyedServer(t, { orm: await withKeys(database), context: { onAbort } }, app => {
      app.post('/', { config: ONCE }, async (_request, reply) => {
        if (handled === 0) reply.raw.once('close', gate.resolve)
        const book = em().create(Book, { title: `${++handled}` })
        await em().flush()
        await gate.promise
        return book
      })
    })
    const client = send(url, { method: 'POST', headers: BEFORE })
    client.on('error', () => {})
    client.end('{}')
    await until(() => handled === 1)
    client.destroy()
    await gate.promise
    const again = await post('/', 'key')
    t.equal(again.status, 200)
    t.equal(handled, onAbort === 'commit' ? 1 : 2)
    t.strictSame(await database.titles(), [`${handled}`])
    t.equal((await post('/', 'key')).body, again.body)
  })
}

onEveryEngine('a reply that is sent from elsewhere, outside of the context', async (t, database) => {
  const outside: (() => void)[] = []
  const timer = setInterval(() => { outside.shift()?.() }, 5)
  t.teardown(() => clearInterval(timer))
  const { post } = await startKeyedServer(t, { orm: await withKeys(database) }, app => {
    app.post('/', { config: ONCE }, (_request, reply) => {
      em().create(Book, { title: 'Emma' })
      outside.push(() => { reply.send({ ok: randomUUID() }) })
    })
  })
  const first = await post('/', 'a')
  t.equal(first.status, 200)
  t.equal((await post('/', 'a')).body, first.body)
})

onEveryEngine('a client that does not read its reply keeps nobody waiting', async (t, database) => {
  const { post, url } = await startKeyedServer(t, { orm: await withKeys(database), keys: { maxBytes: 2 ** 27, wait: 2000 } }, app => {
    app.post('/', { config: ONCE }, async () => Buffer.alloc(6 * 2 ** 20)) // more than sockets take, and less than a packet of MariaDB
  })
  const client = send(url, { method: 'POST', headers: BEFORE })
  client.on('error', () => {})
  client.end('{}')
  const [response] = await once(client, 'response')
  response.pause()
  t.match(await post('/', 'key'), { status: 200 })
  client.destroy()
})

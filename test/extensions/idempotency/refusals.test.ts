import Fastify from 'fastify'
import t from 'tap'
import idempotency from '../../../idempotency.ts'
import contextOrm, { em } from '../../../index.ts'
import { Book, onEveryEngine, onSqlite } from '../../support/databases.ts'
import { ONCE, startKeyedServer, withKeys } from './keyed-server.ts'

const handler = async (): Promise<object> => ({ ok: true })

onEveryEngine('a key that is missing where it is required, or is none', async (t, database) => {
  const orm = await withKeys(database)
  const { post } = await startKeyedServer(t, { orm, keys: { documentation: 'https://example.com/keys' } }, app => {
    app.post('/', { config: { idempotency: { required: true } } }, async () => em().create(Book, { title: 'Emma' }))
  })
  const missing = await post('/')
  t.match(missing, { status: 400, json: { code: 'FST_ORM_IDEMPOTENCY_MISSING', message: /^POST \/ takes no request without the header idempotency-key/ } })
  t.equal(missing.headers.get('link'), '<https://example.com/keys>; rel="describedby"; type="text/html"')
  for (const key of ['', '""', '"open', 'a b', 'a, b', '"a", "b"', '"a";x=1', 'é', 'x'.repeat(256), `"${'x'.repeat(256)}"`, '"a\\b"']) {
    const refused = await post('/', key)
    t.match(refused, { status: 400, json: { code: 'FST_ORM_IDEMPOTENCY_KEY' } }, key)
    t.notOk(key.length > 5 && refused.body.includes(key), 'the key is not repeated')
  }
  t.strictSame(await database.titles(), [])
  t.equal((await post('/', 'x'.repeat(255))).status, 200)
})

onEveryEngine('the same key for another body, URL or method is 422; keys that differ in case are two', async (t, database) => {
  let handled = 0
  const { post, url } = await startKeyedServer(t, { orm: await withKeys(database), keys: { header: 'X-Request-Key', documentation: false } }, app => {
    for (const method of ['POST', 'PUT']) app.route({ method, url: '/:id', config: ONCE, handler: async () => ({ handled: ++handled }) })
  })
  const send = async (path: string, key: string, body: unknown): Promise<any> => await post(path, undefined, body, { 'x-request-key': key })
  t.match(await send('/1', 'a', { a: 1, b: [1, { c: 2, d: 3 }] }), { status: 200 })
  t.match(await send('/1', 'a', { b: [1, { d: 3, c: 2 }], a: 1 }), { status: 200, body: '{"handled":1}' }, 'the order of keys does not count')
  for (const [path, body] of [['/1', {}], ['/1', { a: 1, b: [{ c: 2, d: 3 }, 1] }], ['/2', { a: 1, b: [1, { c: 2, d: 3 }] }], ['/1?x=1', { a: 1, b: [1, { c: 2, d: 3 }] }]] as const) {
    const refused = await send(path, 'a', body)
    t.match(refused, { status: 422, json: { code: 'FST_ORM_IDEMPOTENCY_MISMATCH' } })
    t.equal(refused.headers.get('link'), null)
  }
  const put = await fetch(`${url}/1`, { method: 'PUT', headers: { 'x-request-key': 'a', 'content-type': 'application/json' }, body: '{"a":1,"b":[1,{"c":2,"d":3}]}' })
  t.equal(put.status, 422)
  t.match(await send('/1', 'A', {}), { status: 200, body: '{"handled":2}' })
  t.equal(handled, 2)
})

onSqlite('the same key for another route of the same URL, of another host or version, is 422', async (t, database) => {
  const { app } = await startKeyedServer(t, { orm: await withKeys(database) }, app => {
    for (const constraints of [{}, { host: 'a.example' }, { host: /^b\./ }, { host: 'a.example', version: '2.0.0' }]) {
      app.route({ method: 'POST', url: '/', constraints, config: ONCE, handler: async () => String(constraints.host) + (constraints.version ?? '') })
    }
  })
  const send = async (key: string, headers: Record<string, string>): Promise<any> => (
    await app.inject({ method: 'POST', url: '/', headers: { 'idempotency-key': key, ...headers }, payload: {} })
  )
  const routes = [{}, { host: 'a.example' }, { host: 'b.example' }, { host: 'a.example', 'accept-version': '2.x' }] as Array<Record<string, string>>
  const bodies = ['undefined', 'a.example', '/^b\\./', 'a.example2.0.0']
  for (const [i, headers] of routes.entries()) {
    for (let times = 0; times < 2; times++) t.match(await send(`key${i}`, headers), { statusCode: 200, body: bodies[i]! })
    for (const others of routes) if (others !== headers) t.match((await send(`key${i}`, others)).json(), { code: 'FST_ORM_IDEMPOTENCY_MISMATCH' })
  }
})

onEveryEngine("another principal's key is another key, and nobody's is an error", async (t, database) => {
  let handled = 0
  const { post } = await startKeyedServer(t, { orm: await withKeys(database), keys: { scope: async ({ headers }) => headers.user as string } }, app => {
    app.post('/', { config: ONCE, preHandler: async ({ headers }, reply) => { if (headers.user === 'nobody') return reply.code(401).send('no') } }, async () => ({ handled: ++handled }))
  })
  t.match(await post('/', 'a', {}, { user: 'jane' }), { body: '{"handled":1}' })
  t.match(await post('/', 'a', {}, { user: 'fanny' }), { body: '{"handled":2}' })
  t.match(await post('/', 'a', {}, { user: 'jane' }), { body: '{"handled":1}' })
  t.match(await post('/', 'a', {}, { user: 'nobody' }), { status: 401 }, 'hooks that authenticate come first')
  t.match(await post('/', 'a'), { status: 500, json: { code: 'FST_ORM_BAD_OPTION' } })
})

onSqlite('bodies that cannot be compared are refused, and those that can are told apart', async (t, database) => {
  const { url } = await startKeyedServer(t, { orm: await withKeys(database) }, app => {
    app.addContentTypeParser('multipart/form-data', (_request, _payload, done) => { done(null) })
    app.addContentTypeParser('x/stream', (_request, payload, done) => { done(null, payload) })
    app.addContentTypeParser('x/buffer', { parseAs: 'buffer' }, (_request, body, done) => { done(null, body) })
    app.addContentTypeParser('x/text', { parseAs: 'string' }, (_request, body, done) => { done(null, body) })
    const made: Record<string, () => unknown> = {
      undefined: () => ({ a: undefined }),
      null: () => ({ a: null }),
      bigint: () => 1n,
      one: () => 1,
      date: () => new Date(1),
      bytes: () => ({ a: new Uint8Array([1]) }),
      map: () => new Map(),
      function: () => ({ a () {} }),
      symbol: () => [Symbol('a')],
      anonymous: () => new (class {})()
    }
    app.addContentTypeParser('x/made', { parseAs: 'string' }, (_request, body, done) => { done(null, made[String(body)]!()) })
    app.post('/', { config: ONCE }, handler)
  })
  const send = async (type: string, body: string, key: string): Promise<[number, any]> => {
    const response = await fetch(url, { method: 'POST', headers: { 'idempotency-key': key, 'content-type': type }, body })
    return [response.status, await response.json()]
  }
  const refused = async (type: string, body: string, message: RegExp): Promise<void> => {
    t.match(await send(type, body, type + body), [415, { code: 'FST_ORM_IDEMPOTENCY_BODY', message }], `${type} ${body}`)
  }
  await refused('multipart/form-data', 'a', /multipart/)
  await refused('x/stream', 'a', /holds an? \w+/)
  await refused('x/made', 'map', /holds a Map/)
  await refused('x/made', 'function', /holds a function/)
  await refused('x/made', 'symbol', /holds a symbol/)
  await refused('x/made', 'anonymous', /an object of a class/)
  const apart: [string, string][] = [
    ['x/buffer', '1'], ['x/buffer', '2'], ['x/text', '1'], ['application/json', 'null'], ['application/json', '"null"'],
    ...['undefined', 'null', 'bigint', 'one', 'date', 'bytes'].map(name => ['x/made', name] as [string, string])
  ]
  for (const [type, body] of apart) {
    for (const [other, otherBody] of apart) {
      if (type === other && body === otherBody) continue
      const key = `${type}-${body}-${other}-${otherBody}`
      t.equal((await send(type, body, key))[0], 200, key)
      t.equal((await send(type, body, key))[0], 200, key)
      t.equal((await send(other, otherBody, key))[0], 422, key)
    }
  }
})

onSqlite('routes that cannot have keys are refused when they are declared', async (t, database) => {
  const without = Fastify()
  t.teardown(() => without.close())
  await without.register(contextOrm, { orm: database.orm })
  await t.rejects(async () => { await without.register(idempotency) }, { code: 'FST_ORM_BAD_OPTION', message: /IdempotencyKey among its entities/ })

  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(contextOrm, { orm: await withKeys(database) })
  await app.register(idempotency)
  const declare = (method: string | string[], config: any) => () => app.route({ method: method as 'POST', url: '/', config, handler })
  for (const method of ['GET', 'HEAD', 'OPTIONS', ['POST', 'GET']]) t.throws(declare(method, ONCE), { code: 'FST_ORM_IDEMPOTENCY_ROUTE', message: /changes nothing/ })
  t.throws(declare('POST', { idempotency: true, orm: false }), { code: 'FST_ORM_IDEMPOTENCY_ROUTE', message: /no context/ })
  t.throws(declare('POST', { idempotency: true, orm: { transaction: false } }), { code: 'FST_ORM_IDEMPOTENCY_ROUTE', message: /no transaction/ })
  t.throws(declare('POST', { idempotency: true, orm: { readOnly: true } }), { code: 'FST_ORM_IDEMPOTENCY_ROUTE', message: /readOnly/ })
  t.throws(declare('POST', { idempotency: 1 }), { code: 'FST_ORM_BAD_OPTION' })
  t.throws(declare('POST', { idempotency: { header: 'x' } }), { code: 'FST_ORM_BAD_OPTION', message: /there are required, scope, maxAge, maxBytes, wait, omitHeaders/ })
  t.doesNotThrow(declare('GET', { idempotency: false }))
})

onSqlite('a route that was declared before the plugin had loaded refuses to do without', async (t, database) => {
  const app = Fastify()
  t.teardown(() => app.close())
  app.register(contextOrm, { orm: await withKeys(database) })
  app.register(idempotency)
  app.post('/', { config: ONCE }, handler)
  app.post('/without', handler)
  app.register(async app => {
    app.post('/child', { config: ONCE }, handler)
    app.post('/', { config: ONCE, constraints: { host: 'child.example' } }, handler)
  })
  const post = async (url: string): Promise<unknown> => (await app.inject({ method: 'POST', url, headers: { 'idempotency-key': 'a' } })).json()
  t.match(await post('/'), { statusCode: 500, code: 'FST_ORM_IDEMPOTENCY_ROUTE', message: /declared before/ })
  t.strictSame(await post('/without'), { ok: true })
  t.strictSame(await post('/child'), { ok: true })
})

onSqlite('where the plugin for contexts has no transactions, keys are an error', async (t, database) => {
  const { post } = await startKeyedServer(t, { orm: await withKeys(database), context: { transaction: false } }, app => {
    app.post('/', { config: ONCE }, handler)
  })
  t.match(await post('/', 'a'), { status: 500, json: { code: 'FST_ORM_IDEMPOTENCY_ROUTE', message: /no transaction/ } })
  t.match(await post('/'), { status: 200 })
})

onSqlite('options are checked', async (t, database) => {
  const orm = await withKeys(database)
  const register = async (options: object): Promise<void> => {
    const app = Fastify()
    try {
      await app.register(contextOrm, { orm })
      await app.register(idempotency, options)
    } finally {
      await app.close()
    }
  }
  const wrong = {
    orm: 1, header: 'a b', documentation: '/keys', cleanUpEvery: 0, required: 1, scope: 'user', maxAge: 0, maxBytes: -1, wait: Infinity, omitHeaders: 'etag', unknown: 1
  }
  for (const [name, value] of Object.entries(wrong)) {
    await t.rejects(register({ [name]: value }), { code: 'FST_ORM_BAD_OPTION', message: new RegExp(`"${name}"`) }, name)
  }
  await t.rejects(register({ orm: 'reporting' }), { code: 'FST_ORM_BAD_OPTION', message: /\(default\), got reporting/ })
  for (const right of [{ orm: 'default' }, { orm }, { prefix: '/x' }, { documentation: 'https://example.com' }, { cleanUpEvery: undefined }]) await register(right)
})

t.test('it needs the plugin for contexts', async t => {
  await t.rejects(async () => { await Fastify().register(idempotency) }, { message: /fastify-context-orm/ })
})

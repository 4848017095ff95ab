import Fastify, { type FastifyInstance } from 'fastify'
import { request as httpRequest } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import contextOrm from '../../../index.ts'
import inspector from '../../../inspector.ts'
import { onSqlite } from '../../support/databases.ts'
import { startInspected } from './inspected-server.ts'

async function status (app: FastifyInstance, headers: Record<string, string>): Promise<{ status: number, body: string }> {
  const { port } = app.server.address() as AddressInfo
  const request = httpRequest({ port, host: '127.0.0.1', path: '/_orm/contexts', headers })
  request.end()
  const [response] = await once(request, 'response')
  return { status: response.statusCode, body: await text(response) }
}

onSqlite('it answers on this machine only, and to no proxy and no name of somebody else', async (t, { orm }) => {
  const { app } = await startInspected(t, orm, () => {})
  for (const host of ['localhost:3000', '127.0.0.1', '[::1]:3000', 'shop.localhost']) t.equal((await status(app, { host })).status, 200, host)
  t.equal((await status(app, { host: 'localhost:3000', origin: 'http://localhost:5173' })).status, 200, 'another page of this machine')
  const refused: Record<string, string>[] = [
    { host: 'evil.example' }, { host: 'localhost.evil.example' }, { host: '127.0.0.1.evil.example' }, { 'x-forwarded-for': '127.0.0.1' }, { forwarded: 'for=127.0.0.1' }, { via: '1.1 proxy' },
    { origin: 'https://evil.example' }, { origin: 'http://localhost.evil.example:3000' }, { origin: 'null' }
  ]
  for (const headers of refused) {
    const { status: code, body } = await status(app, { host: 'localhost', ...headers })
    t.equal(code, 403, JSON.stringify(headers))
    t.match(JSON.parse(body), { code: 'FST_ORM_INSPECTOR_REMOTE' })
  }
  for (const remoteAddress of ['10.0.0.1', '::ffff:10.0.0.1', '2001:db8::1', '1127.0.0.1']) {
    for (const url of ['/_orm', '/_orm/contexts', '/_orm/contexts/1', '/_orm/pools', '/_orm/live', '/_orm/inspector.js']) {
      t.equal((await app.inject({ url, remoteAddress })).statusCode, 403, `${remoteAddress} ${url}`)
    }
  }
  for (const remoteAddress of ['127.0.0.1', '127.1.2.3', '::1', '::ffff:127.0.0.1']) t.equal((await app.inject({ url: '/_orm', remoteAddress })).statusCode, 200, remoteAddress)
})

onSqlite('a guard decides instead', async (t, { orm }) => {
  const { app } = await startInspected(t, orm, () => {}, {
    path: '/debug/orm',
    async guard (request, reply) {
      if (request.headers.authorization !== 'Bearer let-me-in') await reply.code(401).send('no')
    }
  })
  for (const url of ['/debug/orm', '/debug/orm/contexts', '/debug/orm/live', '/debug/orm/preact.js']) t.equal((await app.inject({ url })).statusCode, 401, url)
  const headers = { authorization: 'Bearer let-me-in' }
  t.equal((await app.inject({ url: '/debug/orm/contexts', headers, remoteAddress: '10.0.0.1' })).statusCode, 200)
  t.match((await app.inject({ url: '/debug/orm', headers })).body, '<base href="/debug/orm/">')
})

onSqlite('in production, it wants a guard', async (t, { orm }) => {
  const before = process.env.NODE_ENV
  process.env.NODE_ENV = 'production'
  t.teardown(() => {
    if (before === undefined) delete process.env.NODE_ENV
    else process.env.NODE_ENV = before
  })
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(contextOrm, { orm })
  await t.rejects(async () => { await app.register(inspector) }, { code: 'FST_ORM_INSPECTOR_PRODUCTION' })
  const guarded = Fastify()
  t.teardown(() => guarded.close())
  await guarded.register(contextOrm, { orm })
  await guarded.register(inspector, { guard: (_request, _reply, done) => done() })
  t.equal((await guarded.inject('/_orm')).statusCode, 200)
})

onSqlite('wrong options are refused', async (t, { orm }) => {
  for (const options of [{ path: '_orm' }, { path: '/' }, { path: '/_orm/' }, { path: '/:id' }, { guard: true }, { values: 1 }, { unknown: 1 }]) {
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(contextOrm, { orm })
    await t.rejects(async () => { await app.register(inspector, options as any) }, { code: 'FST_ORM_BAD_OPTION', message: 'fastify-context-orm/inspector' }, JSON.stringify(options))
  }
})

onSqlite('under a prefix, the page and the header know it', async (t, { orm }) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(contextOrm, { orm })
  await app.register(async app => {
    await app.register(inspector)
    app.get('/ok', async () => 'ok')
  }, { prefix: '/api' })
  t.match((await app.inject('/api/_orm')).body, '<base href="/api/_orm/">')
  t.match((await app.inject('/api/ok')).headers['x-orm-context'], /^\/api\/_orm\/contexts\/\d+$/)
})

onSqlite('the page loads what is in the package, once, and nothing from elsewhere', async (t, { orm }) => {
  const { app } = await startInspected(t, orm, () => {})
  const page = await app.inject({ url: '/_orm/contexts/1', headers: { accept: 'text/html' } })
  t.match(page.headers, { 'content-type': 'text/html; charset=utf-8', 'content-security-policy': "default-src 'none'", vary: 'accept' })
  const loaded = new Set<string>()
  const load = async (name: string): Promise<void> => {
    if (loaded.has(name)) return
    loaded.add(name)
    const file = await app.inject(`/_orm/${name}`)
    t.equal(file.statusCode, 200, name)
    const again = await app.inject({ url: `/_orm/${name}`, headers: { 'if-none-match': file.headers.etag as string } })
    t.equal(again.statusCode, 304, name)
    for (const [, imported] of file.body.matchAll(/^import .* from '\.\/([\w.]+)'$/gm)) await load(imported!)
  }
  for (const [, name] of page.body.matchAll(/(?:src|href)="([\w.]+)"/g)) await load(name!)
  t.ok(loaded.has('preact.js') && loaded.has('htm.js') && loaded.has('style.css'), [...loaded].join())
})

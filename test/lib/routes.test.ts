import Fastify, { type FastifyRequest } from 'fastify'
import t from 'tap'
import { Routes, type Route, type RouteHooks } from '../../lib/routes.ts'

const DEFAULTS = { transaction: 'on-write', shouldCommit: () => true, onAbort: 'rollback', warnHeldMs: 1000, streamTimeout: Infinity } as const

t.test('a Fastify that keeps its records elsewhere is served by the hooks for everybody', async t => {
  const routes = new Routes(DEFAULTS, () => t.fail('there is nothing to append to'))
  const request = { method: 'GET', routeOptions: { url: '/books', config: { orm: { transaction: false } } } } as unknown as FastifyRequest
  routes.adopt(request)
  t.equal(routes.hasHooks(request), false)
  t.match(routes.of(request), { url: '/books', settings: { transaction: false } })
  t.equal(routes.of(request), routes.of(request))
})

t.test('a route that was declared before gets its hooks with its first request, once', async t => {
  const appended: [RouteHooks, Route][] = []
  const routes = new Routes(DEFAULTS, (hooks, route) => appended.push([hooks, route]))
  const app = Fastify()
  t.teardown(() => app.close())
  app.addHook('onRequest', async request => {
    const isKnown = routes.hasHooks(request)
    routes.adopt(request)
    t.equal(routes.hasHooks(request), true)
    t.equal(isKnown, request.url === '/seen')
  })
  app.get('/unseen', { onSend: async () => {} }, async () => 'ok')
  app.addHook('onRoute', options => routes.add(options))
  app.get('/seen', async () => 'ok')
  t.match(appended.map(([, { url }]) => url), ['/seen', '/seen'], 'and its HEAD')
  appended.length = 0
  await app.inject('/seen')
  t.strictSame(appended, [])
  await app.inject('/unseen')
  t.match(appended, [[{ onSend: [Function] }, { url: '/unseen', settings: DEFAULTS }]], 'the internals of Fastify are where they were')
})

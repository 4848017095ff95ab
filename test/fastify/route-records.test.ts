import Fastify from 'fastify'
import t from 'tap'
import type { OuterHooks, SendHook } from '../../lib/fastify/internals.ts'
import { untilCompleted } from '../../lib/fastify/internals.ts'
import { Routes } from '../../lib/fastify/routes.ts'

const DEFAULTS = { transaction: 'on-write', shouldCommit: () => true, beforeCommit: undefined, onAbort: 'rollback', warnHeldMs: 1000, streamTimeout: Infinity } as const

t.test('a route is completed with its first request, once, and its settings are known', async t => {
  const calls: string[] = []
  const hook = (name: string): SendHook => (_request, _reply, _payload, done) => {
    calls.push(name)
    done()
  }
  const ends = (kind: string): OuterHooks['onSend'] => ({ first: hook(`first ${kind}`), last: hook(`last ${kind}`), alone: untilCompleted(hook(`alone ${kind}`)) })
  const wrapped = new Set<SendHook>()
  const all: OuterHooks = {
    preSerialization: ends('preSerialization'),
    onSend: ends('onSend'),
    afterDefaultErrorHandler: (_error, _request, reply) => reply.send(new Error('shown')),
    retry: handler => handler,
    finish: handler => handler,
    wrap (hook) {
      t.notOk(wrapped.has(hook), 'no hook is wrapped twice')
      wrapped.add(hook)
      return hook
    }
  }
  const routes = new Routes(DEFAULTS, all)
  const app = Fastify()
  t.teardown(() => app.close())
  app.addHook('onRequest', async request => {
    const route = routes.of(request)
    t.equal(routes.of(request), route)
    t.match(route, { url: request.routeOptions.url, settings: { transaction: request.url === '/own' ? false : 'on-write' } })
  })
  app.addHook('onSend', all.onSend.alone as any)
  app.addHook('preSerialization', all.preSerialization.alone as any)
  app.get('/alone', async () => ({ ok: true }))
  app.get('/own', { config: { orm: { transaction: false } }, onSend: hook('own') as any }, async () => 'ok')
  app.get('/error', async () => { throw new Error('not shown') })
  app.get('/not-found', async (_request, reply) => reply.callNotFound())
  for (const [path, expected] of [
    ['/alone', ['alone preSerialization', 'alone onSend']],
    ['/own', ['first onSend', 'own', 'last onSend']],
    ['/not-found', ['alone preSerialization', 'alone onSend']],
    ['/nowhere', ['alone preSerialization', 'alone onSend']]
  ] as const) {
    for (let i = 0; i < 2; i++) {
      calls.length = 0
      await app.inject(path)
      t.strictSame(calls, expected, path)
    }
  }
  for (let i = 0; i < 2; i++) t.match((await app.inject('/error')).json(), { statusCode: 500, message: 'shown' })
})

t.test('a mistake in the options of a route is an error when the app starts', async t => {
  const routes = new Routes(DEFAULTS, {} as OuterHooks)
  t.throws(() => routes.check({ url: '/', method: 'GET', config: { orm: { readonly: true } } } as any), { code: 'FST_ORM_BAD_OPTION', message: /^route GET \// })
})

import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import contextOrm, { em } from '../../index.ts'
import { loadAnotherFastify } from '../support/another-fastify.ts'
import { Book, onEachDatabase } from '../support/databases.ts'
import { startServer } from '../support/server.ts'

type Declare = (app: FastifyInstance) => void

/** As @fastify/compress does it. */
function giveToRoutes (hook: (reply: any) => Promise<void>): Declare {
  return app => {
    app.register(fp(async app => {
      app.addHook('onRoute', options => {
        options.onSend = [...[options.onSend ?? []].flat(), async (_request, reply) => { await hook(reply) }]
      })
    }))
  }
}

async function write (): Promise<object> {
  await em().insert(Book, { title: 'handler' })
  return { ok: true }
}

/** Each in a plugin, which sees what was registered before it. */
const ROUTES: Record<string, Declare> = {
  '/route': app => { app.get('/route', write) },
  '/child/route': app => { app.register(async child => { child.get('/route', write) }, { prefix: '/child' }) },
  '/timeout': app => { app.get('/timeout', { handlerTimeout: 5000 }, write) },
  '/own': app => { app.get('/own', { onSend: async () => {} }, write) },
  '/call-not-found': app => { app.get('/call-not-found', async (_request, reply) => reply.callNotFound()) }
}

const declareRoutes: Declare = app => { app.register(async app => { for (const declare of Object.values(ROUTES)) declare(app) }) }

const declareNotFound: Declare = app => { app.setNotFoundHandler(async (_request, reply) => reply.code(200).send(await write())) }

/** The plugin itself is registered between the two. */
const WHEN: Record<string, (given: Declare) => [after: Declare, before: Declare]> = {
  'declared after it': given => [app => {
    given(app)
    declareRoutes(app)
  }, declareNotFound],
  'declared before it': given => [() => {}, app => {
    declareNotFound(app)
    given(app)
    declareRoutes(app)
  }]
}

for (const [when, order] of Object.entries(WHEN)) {
  onEachDatabase(`an onSend hook that another plugin gives to routes, ${when}, decides what is committed`, async (t, { orm, titles }) => {
    for (const hook of [async () => { throw new Error('no') }, async (reply: any) => { reply.code(500) }]) {
      const { app, get } = await startServer(t, { orm }, ...order(giveToRoutes(hook)))
      for (const path of Object.keys(ROUTES)) {
        t.equal((await get(path)).status, 500, path)
        t.strictSame(await titles(), [], path)
      }
      t.equal((await app.inject({ method: 'HEAD', url: '/route' })).statusCode, 500)
      t.strictSame(await titles(), [])
    }
  })

  onEachDatabase(`what an onSend hook writes that another plugin gives to routes, ${when}, is committed`, async (t, { orm, titles }) => {
    const { get } = await startServer(t, { orm }, ...order(giveToRoutes(async () => { em().create(Book, { title: 'hook' }) })))
    for (const path of Object.keys(ROUTES)) {
      t.equal((await get(path)).status, 200, path)
      t.strictSame(await titles(), ['handler', 'hook'], path)
      await orm.em.fork().nativeDelete(Book, {})
    }
  })
}

onEachDatabase('a later hook of an app that is made by a second copy of Fastify decides as well', async (t, { orm, titles, another }) => {
  const copies = [{ make: loadAnotherFastify(), orm }, { make: loadAnotherFastify(), orm: await another() }]
  for (const { make, orm } of copies) {
    const app = make()
    t.teardown(() => app.close())
    app.register(contextOrm, { orm })
    app.get('/', { onSend: async () => { throw new Error('no') } }, write)
    t.equal((await app.inject('/')).statusCode, 500)
    t.strictSame(await titles(), [])
  }
})

onEachDatabase('hooks of preSerialization see generated ids, also those that were registered before the plugin', async (t, { orm, titles }) => {
  const { post } = await startServer(t, { orm }, app => {
    app.addHook('preSerialization', async (_request, _reply, payload: any) => ({ ...payload, after: payload.data.id }))
    app.post('/after', async request => request.em.create(Book, { title: 'after' }))
  }, app => {
    app.addHook('preSerialization', async (_request, _reply, payload: any) => {
      if (payload.title === 'before' || payload.title === 'after') em().create(Book, { title: `audit of ${payload.title}` })
      return { data: payload, link: `/books/${payload.id}` }
    })
    app.post('/before', async request => request.em.create(Book, { title: 'before' }))
  })
  t.match(await (await post('/before')).json(), { data: { id: 1, title: 'before' }, link: '/books/1' })
  t.match(await (await post('/after')).json(), { data: { id: 3, title: 'after' }, link: '/books/3', after: 3 })
  t.strictSame(await titles(), ['after', 'audit of after', 'audit of before', 'before'])
})

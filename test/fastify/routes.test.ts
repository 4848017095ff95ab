import Fastify, { type FastifyInstance } from 'fastify'
import { connect } from 'node:http2'
import { text } from 'node:stream/consumers'
import contextOrm, { em } from '../../index.ts'
import { Book, onEveryEngine } from '../support/databases.ts'
import { startServer } from '../support/server.ts'

onEveryEngine('a route declared before the plugin has loaded is settled like any other', async (t, { orm, titles }) => {
  const declare = (app: FastifyInstance): void => {
    app.post('/early/:title', async request => {
      const { title } = request.params as { title: string }
      const book = em().create(Book, { title })
      if (title === 'bad') throw new Error('no')
      return book
    })
    app.post('/early/mistake', { config: { orm: { readonly: true } } } as any, async () => 'ok')
    app.post('/early/read-only', { config: { orm: { readOnly: true } } }, async () => em().create(Book, { title: 'read-only' }))
  }
  const { post } = await startServer(t, { orm }, app => {
    app.addHook('onSend', async () => { em().create(Book, { title: 'hook of a later route' }) })
    app.post('/late', async () => ({ ok: true }))
  }, declare)
  t.match(await (await post('/early/Emma')).json(), { id: 1 })
  t.equal((await post('/early/bad')).status, 500)
  t.match(await (await post('/early/read-only')).json(), { code: 'FST_ORM_READ_ONLY' })
  for (let i = 0; i < 2; i++) t.match(await (await post('/early/mistake')).json(), { statusCode: 500, code: 'FST_ORM_BAD_OPTION', message: /route POST \/early\/mistake/ })
  t.equal((await post('/late')).status, 200)
  t.strictSame(await titles(), ['Emma', 'hook of a later route'])
})

onEveryEngine('a not-found handler is settled by its status', async (t, { orm, titles }) => {
  const late = Promise.withResolvers<any>()
  const { get } = await startServer(t, { orm }, app => {
    app.get('/call-not-found', async (_request, reply) => reply.callNotFound())
  }, app => {
    app.setNotFoundHandler(async (request, reply) => {
      em().create(Book, { title: request.url })
      await em().flush()
      if (request.url === '/late') {
        await reply.code(200).send()
        await em().insert(Book, { title: 'late' }).catch(late.resolve)
      }
      return reply.code(request.url === '/nowhere' ? 404 : 200).send({ ok: true })
    })
  })
  t.equal((await get('/nowhere')).status, 404)
  t.strictSame(await titles(), [])
  t.equal((await get('/somewhere')).status, 200)
  t.equal((await get('/call-not-found')).status, 200)
  t.equal((await get('/late')).status, 200)
  t.match(await late.promise, { code: 'FST_ORM_CONTEXT_ENDED', message: 'GET (no route found) has ended (committed)' })
  t.strictSame(await titles(), ['/call-not-found', '/late', '/somewhere'])
})

onEveryEngine('Fastify\'s own 404 and 405 do no harm', async (t, { orm, sent }) => {
  const { get, post } = await startServer(t, { orm }, app => { app.get('/', async () => 'ok') })
  t.equal((await get('/nowhere')).status, 404)
  t.equal((await post('/')).status, 404)
  t.strictSame(sent, [])
})

onEveryEngine('a HEAD request is settled like its GET', async (t, { orm, titles }) => {
  const { app } = await startServer(t, { orm }, app => {
    app.get('/:title', async request => {
      const { title } = request.params as { title: string }
      em().create(Book, { title })
      await em().flush()
      if (title === 'bad') throw new Error('no')
      return { title }
    })
  })
  t.equal((await app.inject({ method: 'HEAD', url: '/Emma' })).statusCode, 200)
  t.equal((await app.inject({ method: 'HEAD', url: '/bad' })).statusCode, 500)
  t.strictSame(await titles(), ['Emma'])
})

onEveryEngine('a reply from an earlier plugin\'s onRequest has no context, and needs none', async (t, { orm }) => {
  const { get } = await startServer(t, { orm }, app => { app.get('/', async () => 'ok') }, app => {
    app.addHook('onRequest', async (request, reply) => {
      if (request.url === '/use-em') return { count: await request.em.count(Book) }
      if (request.url === '/throw') throw new Error('early')
      return reply.send({ early: true })
    })
  })
  t.strictSame(await (await get('/')).json(), { early: true })
  t.match(await (await get('/throw')).json(), { message: 'early' })
  t.match(await (await get('/use-em')).json(), { code: 'FST_ORM_NO_CONTEXT', message: /request\.em outside a context: .* Register fastify-context-orm before/ })
})

onEveryEngine('a route may opt out', async (t, { orm, titles }) => {
  const { failure, post } = await startServer(t, { orm }, app => {
    const config = { orm: false } as const
    app.post('/em', { config }, async () => em().insert(Book, { title: 'em' }))
    app.post('/request', { config }, async request => request.em.insert(Book, { title: 'request' }))
    app.post('/global', { config }, async () => orm.em.find(Book, {}))
    app.post('/fork', { config }, async () => {
      await orm.em.fork().insert(Book, { title: 'fork' })
      throw new Error('no')
    })
  })
  for (const path of ['/em', '/request']) {
    t.match(await (await post(path)).json(), { code: 'FST_ORM_NO_CONTEXT', message: `POST ${path} opted out` })
  }
  t.match(await failure(post('/global')), { message: /global EntityManager/ })
  t.equal((await post('/fork')).status, 500)
  t.strictSame(await titles(), ['fork'])
})

onEveryEngine('plugins inside a scope of their own leave other routes alone', async (t, { orm, another, titles }) => {
  const app = Fastify()
  t.teardown(() => app.close())
  app.register(async scope => {
    await scope.register(contextOrm, { orm })
    scope.post('/scoped', async request => request.em.create(Book, { title: 'scoped' }))
  })
  const second = await another()
  app.register(async scope => {
    await scope.register(contextOrm, { orm: second })
    scope.post('/second', async request => request.em.create(Book, { title: 'second' }))
  })
  app.post('/outside', async request => ({ em: request.em === undefined }))
  app.post('/outside/em', async () => em())
  t.match((await app.inject({ method: 'POST', url: '/scoped' })).json(), { id: 1 })
  t.match((await app.inject({ method: 'POST', url: '/second' })).json(), { id: 2 })
  t.strictSame((await app.inject({ method: 'POST', url: '/outside' })).json(), { em: true })
  t.match((await app.inject({ method: 'POST', url: '/outside/em' })).json(), { code: 'FST_ORM_NO_CONTEXT', message: /registered in another scope \(encapsulation\).* fastify-plugin/ })
  t.strictSame(await titles(), ['scoped', 'second'])
})

onEveryEngine('a not-found handler outside of the plugin\'s scope is settled for a route inside of it', async (t, { orm, titles }) => {
  const app = Fastify()
  t.teardown(() => app.close())
  app.setNotFoundHandler(async (request, reply) => {
    const book = em().create(Book, { title: request.url })
    return reply.code(request.url === '/bad' ? 404 : 200).send(book)
  })
  app.register(async scope => {
    await scope.register(contextOrm, { orm })
    for (const path of ['/good', '/bad']) scope.get(path, async (_request, reply) => reply.callNotFound())
  })
  t.match((await app.inject('/good')).json(), { id: 1, title: '/good' })
  t.equal((await app.inject('/bad')).statusCode, 404)
  t.strictSame(await titles(), ['/good'])
})

onEveryEngine('a second registration is an error that says so', async (t, { orm }) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(contextOrm, { orm })
  const again = { code: 'FST_ORM_ALREADY_REGISTERED', message: /already registered here.* Several databases go into an array/ }
  await t.rejects(async () => { await app.register(async scope => { await scope.register(contextOrm, { orm }) }) }, again)
})

onEveryEngine('HTTP/2 requests are settled like any other', async (t, { orm, titles, taken }) => {
  const app = Fastify({ http2: true }) as unknown as FastifyInstance
  t.teardown(() => app.close())
  await app.register(contextOrm, { orm })
  app.get('/:title', async request => {
    const { title } = request.params as { title: string }
    const book = em().create(Book, { title })
    await em().flush()
    if (title === 'bad') throw new Error('no')
    return book
  })
  const client = connect(await app.listen({ host: '127.0.0.1', port: 0 }))
  t.teardown(() => client.close())
  t.match(JSON.parse(await text(client.request({ ':path': '/Emma' }))), { id: 1, title: 'Emma' })
  t.match(JSON.parse(await text(client.request({ ':path': '/bad' }))), { statusCode: 500 })
  t.strictSame(await titles(), ['Emma'])
  t.equal(taken(), 0)
})

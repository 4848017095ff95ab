import type { FastifyReply } from 'fastify'
import { once } from 'node:events'
import { Readable } from 'node:stream'
import { em } from '../../index.ts'
import { Author, Book, onEveryEngine } from '../support/databases.ts'
import { startServer } from '../support/server.ts'

onEveryEngine('a reply is committed before the client can read its first byte', async (t, { orm, titles, taken }) => {
  const replies: Record<string, (title: string) => unknown> = {
    object: title => ({ title }),
    string: title => title,
    buffer: title => Buffer.from(title),
    null: () => null,
    stream: title => Readable.from([title]),
    web: title => new Response(title)
  }
  const { get, post } = await startServer(t, { orm }, app => {
    app.get('/:kind', async request => {
      const { kind } = request.params as { kind: string }
      em().create(Book, { title: kind })
      return replies[kind]!(kind)
    })
    app.post('/redirect', async (_request, reply) => {
      em().create(Book, { title: 'redirect' })
      return reply.redirect('/object')
    })
    app.get('/callback', (_request, reply) => {
      em().create(Book, { title: 'callback' })
      reply.send({ title: 'callback' })
    })
  })
  for (const kind of [...Object.keys(replies), 'callback']) {
    const response = await get(`/${kind}`) // resolves with the headers
    t.ok((await titles()).includes(kind), kind)
    t.equal(response.status, 200, kind)
    t.match(await response.text(), kind)
    t.equal(taken(), 0)
  }
  t.equal((await post('/redirect')).status, 302)
  t.ok((await titles()).includes('redirect'))
})

onEveryEngine('ids and defaults that the database generates are in the payload', async (t, { orm, titles }) => {
  const schema = { response: { 200: { type: 'object', properties: { id: { type: 'integer' }, stock: { type: 'integer' }, title: { type: 'string' } } } } }
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async request => request.em.create(Book, request.body as { title: string }))
    app.post('/schema', { schema }, async request => request.em.create(Book, request.body as { title: string }))
    app.post('/array', async () => [em().create(Author, { name: 'Jane' }), em().create(Author, { name: 'James' })])
  })
  t.strictSame(await (await post('/', { title: 'Emma' })).json(), { id: 1, title: 'Emma', stock: 3 })
  t.strictSame(await (await post('/schema', { title: 'Ulysses' })).json(), { id: 2, stock: 3, title: 'Ulysses' })
  t.match(await (await post('/array')).json(), [{ id: 1, name: 'Jane' }, { id: 2, name: 'James' }])
  t.strictSame(await titles(), ['Emma', 'Ulysses'])
})

onEveryEngine('a write is begin, the statement, commit', async (t, { orm, sent }) => {
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async () => em().create(Book, { title: 'Emma' }))
  })
  await post('/')
  t.equal(sent.length, 3)
  t.match(sent, ['begin', /^insert into .book/, 'commit'])
})

onEveryEngine('a service without an EntityManager of its own changes what the request has loaded', async (t, { orm, titles }) => {
  await orm.em.fork().insert(Book, { title: 'Ema' })
  async function rename (id: number, title: string): Promise<void> {
    const book = await em().findOneOrFail(Book, id)
    book.title = title
  }
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async request => {
      const book = await request.em.findOneOrFail(Book, 1)
      await rename(1, 'Emma')
      return book
    })
  })
  t.match(await (await post('/')).json(), { title: 'Emma' })
  t.strictSame(await titles(), ['Emma'])
})

onEveryEngine('writes that the handler did not wait for are part of the request', async (t, { orm, titles, taken }) => {
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      em().insert(Book, { title: 'Emma' })
      em().insert(Book, { title: 'Persuasion' })
      return 'ok'
    })
  })
  t.equal((await post('/')).status, 200)
  t.strictSame(await titles(), ['Emma', 'Persuasion'])
  t.equal(taken(), 0)
})

function closed (reply: FastifyReply): Promise<unknown> {
  return once(reply.raw, 'close')
}

onEveryEngine('a reply from inside em.transactional() rolls back what it has done, if it is an error', async (t, { orm, titles, taken }) => {
  const ends = { '/returns': Promise.withResolvers<unknown>(), '/throws': Promise.withResolvers<unknown>() }
  const { post } = await startServer(t, { orm }, app => {
    for (const path of ['/returns', '/throws'] as const) {
      app.post(path, (_request, reply) => {
        em().transactional(async em => {
          await em.insert(Book, { title: 'inner' })
          reply.code(409).send({ ok: false })
          await closed(reply)
          if (path === '/throws') throw new Error('own')
        }).then(ends[path].resolve, ends[path].resolve)
      })
    }
  })
  t.equal((await post('/returns')).status, 409)
  t.equal(await ends['/returns'].promise, undefined)
  t.equal((await post('/throws')).status, 409)
  t.match(await ends['/throws'].promise, { message: 'own' })
  t.strictSame(await titles(), [])
  t.equal(taken(), 0)
})

onEveryEngine('a reply from inside em.transactional() commits what it has done so far', async (t, { orm, titles }) => {
  const finished = Promise.withResolvers<void>()
  const server = await startServer(t, { orm }, app => {
    app.post('/', (_request, reply) => {
      em().create(Book, { title: 'outer' })
      em().transactional(async em => {
        em.create(Book, { title: 'inner' })
        reply.send({ ok: true })
        await closed(reply)
      }).catch(error => server.app.log.error(error)).finally(finished.resolve)
    })
  })
  t.equal((await server.post('/')).status, 200)
  t.strictSame(await titles(), ['inner', 'outer'])
  await finished.promise
  t.strictSame(server.log, [])
})

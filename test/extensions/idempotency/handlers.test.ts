import type { FastifyInstance } from 'fastify'
import { once } from 'node:events'
import { connect, constants, type ClientHttp2Stream } from 'node:http2'
import { text } from 'node:stream/consumers'
import { em } from '../../../index.ts'
import { conflict } from '../../support/conflict.ts'
import { Book, onEveryEngine, onSqlite } from '../../support/databases.ts'
import { until } from '../../support/until.ts'
import { ONCE, startKeyedServer, withKeys } from './keyed-server.ts'

const RETRIED = { ...ONCE, orm: { retry: { attempts: 3, delay: () => 0 } } }

onEveryEngine('handlers of all kinds, with retry and without', async (t, database) => {
  let runs = 0
  const title = async (): Promise<string> => {
    const title = `${++runs}`
    await em().insert(Book, { title })
    if (isRetried && runs === 1) await conflict(database.kind)
    return title
  }
  const soon = (run: () => unknown): void => { setImmediate(run) }
  let isRetried = false
  const { post } = await startKeyedServer(t, { orm: await withKeys(database) }, app => {
    for (const [name, config] of [['retried', RETRIED], ['once', ONCE]] as const) {
      app.post(`/${name}/async`, { config }, async () => ({ title: await title() }))
      app.post(`/${name}/async-reply`, { config }, async (_request, reply) => reply.send({ title: await title() }))
      app.post(`/${name}/async-sends`, { config }, async (_request, reply) => { reply.send({ title: await title() }) })
      app.post(`/${name}/promise`, { config }, () => title().then(title => ({ title })) as Promise<unknown>)
      app.post(`/${name}/callback`, { config }, (_request, reply) => { title().then(title => { soon(() => reply.send({ title })) }, error => { reply.send(error) }) })
      app.post(`/${name}/callback-reply`, { config }, (_request, reply) => {
        title().then(title => { soon(() => reply.send({ title })) }, error => { reply.send(error) })
        return reply
      })
      app.post(`/${name}/sync`, { config }, (() => ({ title: `${++runs}` })) as never)
      app.post(`/${name}/sync-null`, { config }, (() => { runs++; return null }) as never)
      app.post(`/${name}/this`, { config }, function (_request, reply) { reply.send({ title: `${this.prefix}${++runs}` }) })
      app.post(`/${name}/throws`, { config }, () => { throw new Error('no') })
      app.post(`/${name}/empty`, { config }, async () => { runs++ })
    }
  })
  for (const name of ['retried', 'once']) {
    for (const kind of ['async', 'async-reply', 'async-sends', 'promise', 'callback', 'callback-reply', 'sync', 'sync-null', 'this', 'throws', 'empty']) {
      const path = `/${name}/${kind}`
      isRetried = name === 'retried'
      runs = 0
      const sent = await post(path, path)
      const writes = /async|promise|callback/.test(kind)
      const runsWanted = writes && isRetried ? 2 : 1
      if (kind === 'throws') {
        t.match(sent, { status: 500, json: { message: 'no' } }, path)
        continue
      }
      t.equal(sent.status, 200, path)
      t.equal(sent.body, /null|empty/.test(kind) ? (kind === 'empty' ? '' : 'null') : JSON.stringify({ title: `${runsWanted}` }), path)
      const again = await post(path, path)
      t.equal(again.body, sent.body, path)
      t.equal(again.headers.get('idempotency-replayed'), 'true', path)
      t.equal(runs, runsWanted, path)
      t.strictSame(await database.titles(), writes ? [`${runsWanted}`] : [], path)
      await (database.orm as any).em.fork().nativeDelete(Book, {})
    }
  }
})

onEveryEngine('of two replies, that is stored which is sent', async (t, database) => {
  const { post } = await startKeyedServer(t, { orm: await withKeys(database) }, app => {
    app.post('/', { config: ONCE }, async (_request, reply) => {
      em().create(Book, { title: 'Emma' })
      reply.send('first')
      reply.send('second')
    })
  })
  const first = await post('/', 'a')
  t.match(await post('/', 'a'), { status: 200, body: first.body })
  t.equal(first.body, 'first')
})

for (const when of ['before', 'after'] as const) {
  onSqlite(`neighbours that give hooks to routes and wrap their handlers, registered ${when} it`, async (t, database) => {
    const calls: string[] = []
    let runs = 0
    const { post } = await startKeyedServer(t, {
      orm: await withKeys(database),
      [when]: (app: FastifyInstance) => {
        app.addHook('onRoute', route => {
          const { handler } = route
          route.preHandler = [...[route.preHandler ?? []].flat(), async () => {
            calls.push('hook')
            em().create(Book, { title: `hook ${calls.length}` })
          }]
          route.handler = function (request, reply) {
            calls.push('wrapper')
            return Reflect.apply(handler, this, [request, reply])
          }
        })
      }
    }, app => {
      app.post('/', { config: ONCE }, async (_request, reply) => {
        calls.push('handler')
        return ++runs === 1 ? reply.code(422).send({ runs }) : { runs }
      })
    })
    for (const [status, body] of [[422, '{"runs":1}'], [200, '{"runs":2}'], [200, '{"runs":2}']] as const) t.match(await post('/', 'a'), { status, body })
    const replay = when === 'before' ? ['hook'] : ['hook', 'wrapper']
    t.strictSame(calls, ['hook', 'wrapper', 'handler', 'hook', 'wrapper', 'handler', ...replay])
    t.strictSame(await database.titles(), ['hook 4', 'hook 7'], 'what hooks write is written for a replay as well')
  })
}

onSqlite('over HTTP/2', async (t, database) => {
  const gate = Promise.withResolvers<void>()
  let handled = 0
  const { url } = await startKeyedServer(t, { orm: await withKeys(database), server: { http2: true } as never }, app => {
    app.post('/', { config: ONCE }, async () => {
      const book = em().create(Book, { title: `${++handled}` })
      await em().flush()
      if (handled === 1) await gate.promise
      return book
    })
  })
  const session = connect(url)
  t.teardown(() => session.close())
  const post = (): ClientHttp2Stream => session.request({ ':method': 'POST', 'idempotency-key': 'a' })
  const left = post()
  await until(() => handled === 1)
  left.close(constants.NGHTTP2_CANCEL)
  await once(left, 'close')
  t.match(JSON.parse(await text(post())), { title: '2' }, 'a client that has left keeps nobody waiting')
  t.match(JSON.parse(await text(post())), { title: '2' })
  gate.resolve()
  t.strictSame(await database.titles(), ['2'])
})

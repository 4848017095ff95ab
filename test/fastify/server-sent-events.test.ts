import { fastifySSE } from '@fastify/sse'
import { EventSource } from 'eventsource'
import { EventEmitter, on, once } from 'node:events'
import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { afterCommit, commit, em, runInContext } from '../../index.ts'
import { Book, onEachDatabase } from '../support/databases.ts'
import { startServer } from '../support/server.ts'
import { until } from '../support/until.ts'

function withEvents (routes: (app: FastifyInstance) => void): (app: FastifyInstance) => void {
  return app => {
    app.register(fastifySSE)
    app.register(async app => { routes(app) })
  }
}

/** A client that has what it was sent; as browsers do, it would come back after an error. */
function listen (t: Test, app: FastifyInstance, path = '/'): { source: EventSource, events: any[] } {
  const source = new EventSource(app.listeningOrigin + path)
  const events: any[] = []
  source.onmessage = ({ data }) => { events.push(JSON.parse(data)) }
  t.teardown(() => source.close())
  return { source, events }
}

onEachDatabase('a stream of events reads and writes, and holds no connection between events', async (t, { orm, titles, taken }) => {
  const next = new EventEmitter()
  const { app, log } = await startServer(t, { orm }, withEvents(app => {
    app.get('/', { sse: 'only' }, async (_request, reply) => {
      for (let i = 0; i < 6; i++) {
        if (i % 3 === 1) await runInContext(() => { em().create(Book, { title: `${i}, in a context of its own` }) })
        if (i % 3 === 2) {
          em().create(Book, { title: `${i}, committed by hand` })
          await commit()
        }
        const continued = once(next, 'next')
        await reply.sse.send({ data: { count: await em().count(Book), taken: taken() } })
        await continued
      }
    })
  }))
  const { source, events } = listen(t, app)
  for (let i = 0; i < 6; i++) {
    await until(() => events.length === i + 1)
    t.strictSame(events[i], { count: (await titles()).length, taken: 0 }, 'it sends nothing that others do not see')
    if (i === 5) source.close()
    next.emit('next')
  }
  t.strictSame(await titles(), ['1, in a context of its own', '2, committed by hand', '4, in a context of its own', '5, committed by hand'])
  t.strictSame(log, [])
})

onEachDatabase('nothing of a stream of events commits by itself, and what is forgotten is said', async (t, { orm, titles, taken }) => {
  const { app, log } = await startServer(t, { orm }, withEvents(app => {
    app.get('/events/:kind', { sse: 'only' }, async (_request, reply) => {
      await em().insert(Book, { title: 'forgotten' })
      await reply.sse.send({ data: 1 })
    })
  }))
  const { source } = listen(t, app, '/events/all')
  await once(source, 'error') // the end, after which it would come back
  source.close()
  await until(() => log.length > 0)
  t.match(log, [{ level: 40, msg: /^GET \/events\/:kind: the response has closed, and what was not committed is rolled back\. After reply\.hijack\(\), call commit\(\)/ }])
  await until(() => taken() === 0)
  t.strictSame(await titles(), [])
})

onEachDatabase('a client that leaves in the middle of the events gives the connection back, and leaves nothing uncommitted', async (t, { orm, titles, taken }) => {
  const refused = Promise.withResolvers<unknown>()
  const { app, get, log } = await startServer(t, { orm }, withEvents(app => {
    app.get('/', { sse: 'only' }, async (_request, reply) => {
      const closed = new Promise<void>(resolve => reply.sse.onClose(resolve))
      em().create(Book, { title: 'kept' })
      await commit()
      await em().insert(Book, { title: 'lost' })
      await reply.sse.send({ data: 1 })
      await closed
      await em().insert(Book, { title: 'late' }).catch(refused.resolve)
    })
    app.get('/next', async () => em().count(Book))
  }))
  const { source, events } = listen(t, app)
  await until(() => events.length === 1)
  source.close()
  t.match(await refused.promise, { code: 'FST_ORM_CONTEXT_ENDED', message: /^GET \/ has ended \(rolledBack\)/ })
  t.equal(await (await get('/next')).text(), '1')
  t.strictSame(await titles(), ['kept'])
  t.equal(taken(), 0)
  t.strictSame(log, [])
})

onEachDatabase('whoever awaits an event stays in the context of the stream, and a listener runs in that of whoever emits it', async (t, { orm, titles, taken }) => {
  const bus = new EventEmitter()
  const managers = new Map<string, unknown>()
  const { app } = await startServer(t, { orm }, withEvents(app => {
    app.get('/', { sse: 'only' }, async (_request, reply) => {
      const closed = new AbortController()
      reply.sse.onClose(() => closed.abort())
      managers.set('stream', em())
      bus.on('sold', () => managers.set('listener', em()))
      const events = on(bus, 'sold', { signal: closed.signal })
      await reply.sse.send({ data: 'listening' })
      try {
        for await (const [title] of events) {
          managers.set('awaiting', em())
          await reply.sse.send({ data: await runInContext(() => em().findOneOrFail(Book, { title })) })
        }
      } catch (error) {
        if (!closed.signal.aborted) throw error
        managers.set('left', undefined)
      }
    })
    app.post('/', async () => {
      managers.set('poster', em())
      afterCommit(() => { bus.emit('sold', 'Emma') })
      return em().create(Book, { title: 'Emma' })
    })
  }))
  const { source, events } = listen(t, app)
  await until(() => events.length === 1)
  t.match((await app.inject({ method: 'POST', url: '/' })).json(), { title: 'Emma' })
  await until(() => events.length === 2)
  t.match(events[1], { title: 'Emma', stock: 3 })
  t.equal(managers.get('awaiting'), managers.get('stream'))
  t.equal(managers.get('listener'), managers.get('poster'))
  t.not(managers.get('stream'), managers.get('poster'))
  source.close()
  await until(() => managers.has('left'))
  t.equal(taken(), 0)
  t.strictSame(await titles(), ['Emma'])
})

onEachDatabase('a branch that is told of the client that leaves ends with it', async (t, { orm, titles, taken }) => {
  const ended = Promise.withResolvers<unknown>()
  const { app } = await startServer(t, { orm }, withEvents(app => {
    app.get('/', { sse: 'only' }, async (_request, reply) => {
      const closed = new AbortController()
      reply.sse.onClose(() => closed.abort(new Error('the client has left')))
      await reply.sse.send({ data: 1 })
      await runInContext({ signal: closed.signal }, async () => {
        await em().insert(Book, { title: 'lost' })
        await reply.sse.send({ data: 2 })
        await new Promise(() => {})
      }).catch(ended.resolve)
    })
  }))
  const { source, events } = listen(t, app)
  await until(() => events.length === 2)
  source.close()
  t.match(await ended.promise, { message: 'the client has left' })
  t.equal(taken(), 0)
  t.strictSame(await titles(), [])
})

onEachDatabase('app.close() ends a stream of events that has used a database', async (t, { orm, taken }) => {
  const { app, log } = await startServer(t, { orm, closeTimeout: 300 }, withEvents(app => {
    app.get('/', { sse: 'only' }, async (_request, reply) => {
      await reply.sse.send({ data: await em().count(Book) })
      await new Promise(() => {})
    })
  }))
  const { source, events } = listen(t, app)
  await until(() => events.length === 1)
  source.addEventListener('error', () => source.close())
  await app.close()
  t.match(log, [{ level: 40, msg: /^GET \/ was still running 300 ms after app\.close\(\)/ }])
  t.equal(taken(), 0)
})

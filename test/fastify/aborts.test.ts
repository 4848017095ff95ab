import { once } from 'node:events'
import { Agent, request as httpRequest } from 'node:http'
import { connect, constants } from 'node:http2'
import { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { em } from '../../index.ts'
import { delayCommits, isCommitting } from '../support/delayed-commits.ts'
import { Book, onEachDatabase, onEachPool, onEveryEngine } from '../support/databases.ts'
import { waitsForReturnedReply } from '../support/fastify-features.ts'
import { runs, untilOne } from '../support/server-connections.ts'
import { startServer } from '../support/server.ts'
import { until } from '../support/until.ts'

interface Client {
  /** Sends a request, all of it or half of its body, and returns what takes it back. */
  send (path: string, method: 'GET' | 'POST', half?: boolean): { abort (): void, received: Promise<void> }
}

const BODY = JSON.stringify({ title: 'Emma' })

const CLIENTS: Record<string, { server?: object, open (t: Test, app: FastifyInstance): Client }> = {
  'HTTP/1.1 keep-alive': { open: (t, app) => http1(app, new Agent({ keepAlive: true }), t) },
  'HTTP/1.1 close': { open: (t, app) => http1(app, new Agent({ keepAlive: false }), t) },
  'HTTP/2': {
    server: { http2: true },
    open (t, app) {
      const session = connect(app.listeningOrigin)
      t.teardown(() => session.close())
      return {
        send (path, method, half = false) {
          const stream = session.request({ ':path': path, ':method': method, ...(method === 'POST' && { 'content-type': 'application/json', 'content-length': BODY.length }) }, { endStream: method === 'GET' })
          stream.on('error', () => {})
          if (method === 'POST') half ? stream.write(BODY.slice(0, 5)) : stream.end(BODY)
          return { abort: () => stream.close(constants.NGHTTP2_CANCEL), received: once(stream, 'data').then(() => {}) }
        }
      }
    }
  }
}

function http1 (app: FastifyInstance, agent: Agent, t: Test): Client {
  t.teardown(() => agent.destroy())
  return {
    send (path, method, half = false) {
      const headers = method === 'POST' ? { 'content-type': 'application/json', 'content-length': BODY.length } : {}
      const request = httpRequest(app.listeningOrigin + path, { agent, method, headers }).on('error', () => {})
      if (method === 'GET') request.end()
      else half ? request.write(BODY.slice(0, 5)) : request.end(BODY)
      const received = once(request, 'response').then(([response]) => once(response, 'data')).then(() => {})
      received.catch(() => {})
      return { abort: () => { request.destroy() }, received }
    }
  }
}

for (const [protocol, { server, open }] of Object.entries(CLIENTS)) {
  for (const method of ['GET', 'POST'] as const) {
    onEachPool(`a client that aborts a ${method} (${protocol}) gives the connection back at once, at every stage`, async (t, database) => {
      const { orm, titles, taken, sleep, slowRead } = database
      const reached: Record<string, PromiseWithResolvers<void>> = {}
      const late: Record<string, PromiseWithResolvers<any>> = {}
      for (const stage of ['query', 'between', 'read', 'stream', 'commit']) {
        reached[stage] = Promise.withResolvers()
        late[stage] = Promise.withResolvers()
      }
      const neverEnding = Promise.withResolvers<void>()
      t.teardown(() => neverEnding.resolve())
      const { app } = await startServer(t, { orm, server }, app => {
        const route = (stage: string, handler: () => Promise<unknown>): void => {
          app.route({ method, url: `/${stage}`, handler: async () => await handler() })
        }
        route('query', async () => {
          await em().insert(Book, { title: 'query' })
          reached.query!.resolve()
          await (em() as any).execute(sleep()).catch((error: unknown) => late.query!.resolve(error))
          await neverEnding.promise
        })
        route('read', async () => {
          reached.read!.resolve()
          await (em() as any).execute(slowRead).catch((error: unknown) => late.read!.resolve(error))
          await neverEnding.promise
        })
        route('between', async () => {
          await em().insert(Book, { title: 'between' })
          reached.between!.resolve()
          await until(() => taken() === 0)
          await em().insert(Book, { title: 'late' }).catch(error => late.between!.resolve(error))
          await neverEnding.promise
        })
        route('stream', async () => {
          await em().insertMany(Book, Array.from({ length: 500 }, (_, i) => ({ title: `book ${i}` })))
          async function * rows (): AsyncGenerator<string> {
            for await (const { title } of (em() as any).stream(Book)) {
              yield title
              if (title === 'book 3') await neverEnding.promise
            }
          }
          return Readable.from(rows())
        })
        route('commit', async () => {
          em().create(Book, { title: 'commit' })
          return { ok: true }
        })
      })
      const client = open(t, app)
      const abort = async (stage: string, ready: Promise<unknown>, sent: ReturnType<Client['send']>): Promise<void> => {
        await ready
        const before = performance.now()
        sent.abort()
        await until(() => taken() === 0)
        t.ok(performance.now() - before < 10_000, `${stage}: ${Math.round(performance.now() - before)} ms`)
      }
      const running = (sql: string): Promise<unknown> => untilOne(database, runs(sql))

      await abort('query', running(sleep()), client.send('/query', method))
      t.ok(await late.query!.promise instanceof Error, 'the query was cancelled')
      await abort('read', running(slowRead), client.send('/read', method))
      t.ok(await late.read!.promise instanceof Error)
      await abort('between', reached.between!.promise, client.send('/between', method))
      t.match(await late.between!.promise, { code: 'FST_ORM_CONTEXT_ENDED', message: `${method} /between has ended (rolledBack)` })
      t.strictSame(await titles(), [])

      const release = await delayCommits(database, 'commit')
      const sent = client.send('/commit', method)
      await untilOne(database, isCommitting)
      sent.abort()
      await release()
      await until(async () => (await titles()).length === 1)
      t.strictSame(await titles(), ['commit'], 'what the database decided')

      const streaming = client.send('/stream', method)
      await abort('stream', streaming.received, streaming)
      t.equal((await titles()).length, 501, 'was committed before its headers left')
    })
  }

  onEveryEngine(`a client that aborts while it sends its body (${protocol}) leaves nothing behind`, async (t, { orm, titles, taken }) => {
    const written = Promise.withResolvers<void>()
    const { app } = await startServer(t, { orm, server }, app => {
      app.addHook('onRequest', async request => {
        if (request.method !== 'POST') return
        await request.em.insert(Book, { title: 'in a hook' })
        written.resolve()
      })
      app.post('/', async () => { t.fail('must not run') })
    })
    const sent = open(t, app).send('/', 'POST', true)
    await written.promise
    sent.abort()
    await until(() => taken() === 0)
    t.equal(await orm.em.fork().count(Book), 0)
    t.strictSame(await titles(), [])
  })

  onEachDatabase(`with onAbort: 'commit', a client that has gone (${protocol}) does not keep its handler from finishing`, async (t, { orm, titles, taken }) => {
    const reached: Record<string, PromiseWithResolvers<void>> = {}
    const closed = Promise.withResolvers<void>()
    const paths = ['/plugin', '/throws', '/hijacked', '/first-used-after', '/route']
    for (const path of paths) reached[path] = Promise.withResolvers()
    const { app, log } = await startServer(t, { orm, onAbort: 'commit', server }, app => {
      const write = async (path: string, raw: NodeJS.EventEmitter): Promise<void> => {
        if (path !== '/first-used-after') await em().insert(Book, { title: `${path} before` })
        const gone = once(raw, 'close')
        reached[path]!.resolve()
        await gone
        await em().insert(Book, { title: `${path} after` })
      }
      app.post('/plugin', async (_request, reply) => { await write('/plugin', reply.raw); em().create(Book, { title: '/plugin flushed' }); return 'ok' })
      app.post('/first-used-after', async (_request, reply) => { await write('/first-used-after', reply.raw); return 'ok' })
      app.post('/throws', async (_request, reply) => { await write('/throws', reply.raw); throw new Error('no') })
      app.post('/hijacked', async (_request, reply) => {
        reply.hijack()
        await write('/hijacked', reply.raw).catch(() => closed.resolve())
      })
      app.post('/route', { config: { orm: { onAbort: 'rollback' } } }, async (_request, reply) => { await write('/route', reply.raw); return 'ok' })
    })
    const client = open(t, app)
    for (const path of paths) {
      const sent = client.send(path, 'POST')
      await reached[path]!.promise
      sent.abort()
      if (path === '/plugin') await until(async () => (await titles()).length === 3)
      if (path === '/first-used-after') await until(async () => (await titles()).length === 4)
      await until(() => taken() === 0)
    }
    await closed.promise
    await app.close() // waits for the one that throws, too
    t.strictSame(await titles(), ['/first-used-after after', '/plugin after', '/plugin before', '/plugin flushed'])
    t.ok(log.every(({ level }) => level >= 40))
  })

  onEachDatabase(`with onAbort: 'commit', a handler that returns nothing to a client that has gone (${protocol}) is committed once it is done`, async (t, { orm, titles, taken }) => {
    let left = Promise.withResolvers<string>()
    const { app, log } = await startServer(t, { orm, onAbort: 'commit', server }, app => {
      const write = async (path: string, raw: NodeJS.EventEmitter): Promise<void> => {
        await em().insert(Book, { title: `${path} before` })
        const gone = once(raw, 'close')
        left.resolve(path)
        await gone
        em().create(Book, { title: `${path} after` })
      }
      app.post('/nothing', async (_request, reply) => { await write('/nothing', reply.raw) })
      app.post('/retry', { config: { orm: { retry: 3 } } }, async (_request, reply) => { await write('/retry', reply.raw) })
      app.post('/sent', async (_request, reply) => { await write('/sent', reply.raw); reply.send({ ok: true }) })
      app.post('/later', async (_request, reply) => {
        const { promise, resolve } = Promise.withResolvers<void>()
        write('/later', reply.raw).then(() => setImmediate(() => { em().create(Book, { title: '/later last' }); reply.send('ok'); resolve() }))
        await Promise.race([promise, once(reply.raw, 'close')])
        return reply
      })
      app.post('/callback', (_request, reply) => { write('/callback', reply.raw).then(() => reply.send()) })
      app.post('/reply', (_request, reply) => { write('/reply', reply.raw).then(() => reply.send()); return reply })
      app.post('/present', async (_request, reply) => { reply.code(204); await em().insert(Book, { title: '/present' }) })
    })
    const client = open(t, app)
    const paths = ['/nothing', '/retry', '/sent', '/callback', '/reply', ...waitsForReturnedReply ? ['/later'] : []]
    for (const path of paths) {
      left = Promise.withResolvers()
      const sent = client.send(path, 'POST')
      t.equal(await left.promise, path)
      sent.abort()
      await until(async () => (await titles()).includes(path === '/later' ? '/later last' : `${path} after`))
      await until(() => taken() === 0)
    }
    t.equal((await app.inject({ method: 'POST', url: '/present' })).statusCode, 204)
    t.equal((await titles()).length, waitsForReturnedReply ? 14 : 11)
    t.strictSame(log.filter(({ msg }) => waitsForReturnedReply || !/^POST \/(?:sent|reply): a second reply came/.test(msg)), [])
  })
}

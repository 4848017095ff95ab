import type { FastifyReply, FastifyRequest } from 'fastify'
import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import { Readable } from 'node:stream'
import { afterCommit, afterRollback, beforeCommit, commit, em, runInContext } from '../../index.ts'
import { conflict } from '../support/conflict.ts'
import { Book, onEachDatabase, onEachPool, onSqlite } from '../support/databases.ts'
import { NEEDS_HANDLER_TIMEOUT, NEEDS_HEADER_ERRORS } from '../support/fastify-features.ts'
import { startServer } from '../support/server.ts'
import { collectSettled } from '../support/settled-events.ts'
import { until } from '../support/until.ts'
import { startServers } from '../support/ways-to-send.ts'

const retry = { attempts: 3, delay: () => 0 }

onEachDatabase('a handler that fails because of others is run again, and nothing of the failed attempt is sent or kept', async (t, { orm, titles, kind, taken }) => {
  let runs = 0
  const ran: string[] = []
  const settled = collectSettled(t)
  const servers = await startServers(t, { orm }, app => {
    app.get('/:title', { config: { orm: { retry } } }, async (request, reply) => {
      const n = ++runs % 3
      afterCommit(() => { ran.push(`commit ${n}`) })
      afterRollback(() => { ran.push(`rollback ${n}`) })
      em().create(Book, { title: (request.params as any).title })
      await em().flush()
      if (n === 0) return { n }
      reply.code(201).header('x-attempt', n).type('text/plain')
      await conflict(kind)
    })
  })
  for (const { name, send } of servers) {
    t.strictSame(await send(`/${encodeURIComponent(name)}`), { status: 200, body: '{"n":0}' }, name)
    t.strictSame(ran.splice(0), ['rollback 1', 'rollback 2', 'commit 0'])
    t.match(settled.splice(0).map(({ outcome, attempts }) => [outcome, attempts]), [['rolledBack', 1], ['rolledBack', 2], ['committed', 3]])
  }
  t.strictSame(await titles(), servers.map(({ name }) => name).sort())
  t.equal(taken(), 0)
})

const HANDLERS: Array<[string, (request: FastifyRequest, reply: FastifyReply, work: () => Promise<unknown>) => unknown]> = [
  ['returns a payload', async (_request, _reply, work) => await work()],
  ['sends a payload', async (_request, reply, work) => { reply.send(await work()) }],
  ['returns the reply', async (_request, reply, work) => reply.send(await work())],
  ['is no async function', (_request, reply, work) => { work().then(payload => reply.send(payload), error => reply.send(error)) }],
  ['sends its error', async (_request, reply, work) => { reply.send(await work().catch(error => error)) }],
  ['sends a stream', async (_request, reply, work) => reply.send(Readable.from([JSON.stringify(await work())]))]
]

for (const [what, handler] of HANDLERS) {
  onEachDatabase(`a handler that ${what} is run again, wherever it fails`, async (t, { orm, titles, kind }) => {
    const failing = { work: 0, flush: 0, commit: 0 }
    let flushed = ''
    orm.em.getEventManager().registerSubscriber({ beforeFlush: async () => { if (flushed === 'flush' && ++failing.flush < 3) await conflict(kind) } })
    const { get } = await startServer(t, { orm }, app => {
      app.get('/:where', { config: { orm: { retry } } }, (request, reply) => handler(request, reply, async () => {
        const { where } = request.params as { where: keyof typeof failing }
        flushed = where
        if (where === 'work' && ++failing.work < 3) await conflict(kind)
        if (where === 'commit') beforeCommit(async () => { if (++failing.commit < 3) await conflict(kind) })
        em().create(Book, { title: where })
        return { where }
      }))
    })
    for (const where of Object.keys(failing)) {
      const response = await get(`/${where}`)
      t.strictSame([response.status, await response.text()], [200, JSON.stringify({ where })])
    }
    t.strictSame(failing, { work: 3, flush: 3, commit: 3 })
    t.strictSame(await titles(), ['commit', 'flush', 'work'])
  })
}

onSqlite('a request and its reply are in each attempt as hooks have left them', async (t, { orm, kind }) => {
  let runs = 0
  const { post } = await startServer(t, { orm }, app => {
    app.decorateRequest('cookies')
    app.decorateReply('jar')
    app.addHook('preHandler', async (_request, reply: any) => {
      reply.jar = new Map([['from', 'a hook']])
      reply.tags = new Set(['hook'])
      reply.list = ['hook']
      reply.header('set-cookie', ['a=1', 'b=2']).header('x-hook', 'yes')
      reply.raw.setHeader('x-raw', 'yes')
    })
    app.post('/:id', { config: { orm: { retry } } }, async (request: any, reply: any) => {
      await em().count(Book)
      const seen = { body: structuredClone(request.body), params: { ...request.params }, query: { ...request.query }, jar: [...reply.jar], tags: [...reply.tags], list: [...reply.list], extra: reply.extra }
      request.body.amount *= 2
      request.body.lines.push(2)
      delete request.params.id
      request.query.page = 'changed'
      reply.jar.set('from', 'an attempt')
      reply.tags.add('attempt')
      reply.list.push('attempt')
      reply.extra = true
      if (++runs < 3) {
        reply.header('set-cookie', 'c=3').header('x-attempt', '1').code(202)
        reply.raw.setHeader('x-raw-attempt', 'yes')
        await conflict(kind)
      }
      return seen
    })
  })
  const response = await post('/7?page=1', { amount: 5, lines: [1] })
  t.equal(response.status, 200)
  t.strictSame(await response.json(), { body: { amount: 5, lines: [1] }, params: { id: '7' }, query: { page: '1' }, jar: [['from', 'a hook']], tags: ['hook'], list: ['hook'] })
  t.strictSame(response.headers.getSetCookie(), ['a=1', 'b=2'])
  t.equal(response.headers.get('x-hook'), 'yes')
  t.equal(response.headers.get('x-raw'), 'yes')
  t.equal(response.headers.get('x-attempt'), null)
  t.equal(response.headers.get('x-raw-attempt'), null)
})

onEachDatabase('what cannot be run again is answered with 503, and says why in the log', async (t, { orm, titles, kind }) => {
  let runs = 0
  const { post, app, log } = await startServer(t, { orm }, app => {
    const options = { config: { orm: { retry } } }
    const fail = async (): Promise<unknown> => {
      runs++
      await em().insert(Book, { title: 'lost' })
      return await conflict(kind)
    }
    app.addContentTypeParser('text/stream', (_request, payload, done) => done(null, payload))
    app.addContentTypeParser('text/form', (_request, payload, done) => done(null, { title: 'Emma', files: [{ file: payload }] }))
    app.addContentTypeParser('text/raw', (_request, _payload, done) => done(null))
    app.post('/used', { ...options, preHandler: async () => { await em().count(Book) } }, fail)
    app.post('/body', options, fail)
    app.post('/committed', options, async () => {
      await em().insert(Book, { title: 'kept' })
      await commit()
      await fail()
    })
  })
  const send = (path: string, type: string): Promise<Response> => fetch(app.listeningOrigin + path, { method: 'POST', headers: { 'content-type': type }, body: '{}' })
  const cases: Array<[() => Promise<Response>, RegExp]> = [
    [() => post('/used'), /^POST \/used has failed because of others \(see the cause\), and cannot be run again: a hook has used the EntityManager/],
    [() => send('/body', 'text/stream'), /its body is a stream/],
    [() => send('/body', 'text/form'), /its body is a stream/],
    [() => send('/body', 'text/raw'), /its body is a stream/],
    [() => post('/committed'), /it has committed something already/]
  ]
  for (const [request, message] of cases) {
    runs = 0
    const response = await request()
    t.equal(response.status, 503)
    t.equal(response.headers.get('retry-after'), '1')
    t.match(await response.json(), { code: 'FST_ORM_NOT_RETRIABLE' })
    t.match(log.findLast(({ err }) => err !== undefined)?.err, { code: 'FST_ORM_NOT_RETRIABLE', message })
    t.equal(runs, 1)
  }
  t.strictSame(await titles(), ['kept'])
})

onSqlite('a reply whose head is sent is not prepared again', async (t, { orm, kind }) => {
  let runs = 0
  const isRead = Promise.withResolvers<void>()
  const { app, log } = await startServer(t, { orm }, app => {
    app.get('/', { config: { orm: { retry } } }, async (_request, reply) => {
      runs++
      await em().count(Book)
      reply.raw.write('half')
      await isRead.promise
      await conflict(kind)
    })
  })
  const client = httpRequest(`${app.listeningOrigin}/`).on('error', () => {}).end()
  const [response] = await once(client, 'response')
  response.on('error', () => {})
  await once(response, 'data')
  isRead.resolve()
  await until(() => log.some(({ err }) => /its reply has been sent/.test(String(err?.message))))
  client.destroy()
  t.equal(runs, 1)
}, NEEDS_HEADER_ERRORS)

onEachDatabase('the last attempt is answered as any other failure', async (t, { orm, titles, kind, taken }) => {
  let runs = 0
  const { get, app } = await startServer(t, { orm }, app => {
    app.get('/', { config: { orm: { retry } } }, async () => {
      runs++
      await em().insert(Book, { title: 'Emma' })
      await conflict(kind)
    })
    app.get('/other', { config: { orm: { retry } } }, async () => {
      runs++
      await em().insert(Book, { title: 'Emma' })
      throw new Error('no')
    })
  })
  const response = await get('/')
  t.strictSame([response.status, response.headers.get('retry-after'), runs], kind === 'sqlite' ? [500, null, 3] : [503, '1', 3])
  t.equal((await get('/other')).status, 500)
  t.equal(runs, 4)
  t.strictSame(await titles(), [])
  t.equal(taken(), 0)
  await app.close()
})

onEachPool('a handlerTimeout answers while an attempt or the wait for the next one is running, and there is no other', async (t, { orm, kind, taken, titles }) => {
  let runs = 0
  const waiting = Promise.withResolvers<void>()
  const { get } = await startServer(t, { orm }, app => {
    const delay = (): number => { waiting.resolve(); return 60_000 }
    app.get('/waiting', { handlerTimeout: 300, config: { orm: { retry: { delay } } } }, async () => {
      runs++
      await em().insert(Book, { title: 'Emma' })
      await conflict(kind)
    })
    app.get('/running', { handlerTimeout: 300, config: { orm: { retry } } }, async request => {
      if (++runs === 2) await conflict(kind)
      await em().insert(Book, { title: 'Emma' })
      await once((request as any).signal, 'abort')
      await conflict(kind)
    })
  })
  t.equal((await get('/waiting')).status, 503)
  await waiting.promise
  t.equal(runs, 1)
  t.equal((await get('/running')).status, 503)
  t.equal(runs, 3)
  await until(() => taken() === 0)
  t.strictSame(await titles(), [])
}, NEEDS_HANDLER_TIMEOUT)

onEachPool('a client that leaves between two attempts ends them', async (t, { orm, kind, taken }) => {
  let runs = 0
  const waiting = Promise.withResolvers<void>()
  const { app } = await startServer(t, { orm }, app => {
    app.get('/', { config: { orm: { retry: { delay: () => { waiting.resolve(); return 60_000 } } } } }, async () => {
      runs++
      await em().insert(Book, { title: 'Emma' })
      await conflict(kind)
    })
  })
  const client = httpRequest(`${app.listeningOrigin}/`).on('error', () => {}).end()
  await waiting.promise
  client.destroy()
  await app.close() // which would wait for it
  t.equal(runs, 1)
  t.equal(taken(), 0)
})

onEachPool('closing the app waits for the next attempt, and ends it after closeTimeout', async (t, { orm, kind }) => {
  for (const [delay, closeTimeout, status] of [[50, 10_000, 200], [60_000, 50, 503]] as const) {
    let runs = 0
    const waiting = Promise.withResolvers<void>()
    const { app, log } = await startServer(t, { orm, closeTimeout }, app => {
      app.get('/', { config: { orm: { retry: { delay: () => { waiting.resolve(); return delay } } } } }, async () => {
        await em().count(Book)
        if (++runs === 1) await conflict(kind)
        return 'ok'
      })
    })
    const answer = fetch(`${app.listeningOrigin}/`, { headers: { connection: 'close' } }).then(({ status }) => status, () => 'broken')
    await waiting.promise
    await app.close()
    t.equal(await answer, status)
    t.equal(log.filter(({ level, msg }) => level === 40 && /was still running 50 ms after app.close/.test(msg)).length, status === 200 ? 0 : 1)
  }
})

onEachDatabase('what an earlier attempt still sends is not the answer of a later one', async (t, { orm, titles, kind }) => {
  for (const [late, inBranch] of [['late', false], [new Error('late'), false], ['late', true], [new Error('late'), true]] as const) {
    let runs = 0
    const secondRuns = Promise.withResolvers<void>()
    const lateHasSent = Promise.withResolvers<void>()
    const { get } = await startServer(t, { orm }, app => {
      app.get('/', { config: { orm: { retry } } }, async (_request, reply) => {
        if (++runs === 1) {
          const sendLate = async (): Promise<void> => {
            await secondRuns.promise
            reply.send(late)
            lateHasSent.resolve()
          }
          inBranch ? runInContext(sendLate) : sendLate()
          await conflict(kind)
        }
        await em().insert(Book, { title: `of ${runs} ${String(late)} ${inBranch}` })
        secondRuns.resolve()
        await lateHasSent.promise
        return 'in time'
      })
    })
    const response = await get('/')
    t.strictSame([response.status, await response.text()], [200, 'in time'])
  }
  t.equal((await titles()).length, 4)
})

onEachDatabase('an entity of an earlier attempt that a later one changes is an error, though there is nothing else to write', async (t, { orm, kind, observe }) => {
  await orm.em.fork().insert(Book, { id: 1, title: 'Emma' })
  let book: any
  const { get, failure } = await startServer(t, { orm }, app => {
    app.get('/', { config: { orm: { retry } } }, async () => {
      if (book === undefined) {
        book = await em().findOneOrFail(Book, 1)
        await conflict(kind)
      }
      await em().count(Book)
      book.stock--
      return 'ok'
    })
  })
  t.match(await failure(get('/')), { statusCode: 500, code: 'FST_ORM_FOREIGN_CHANGE', message: /^GET \/ has retry, and has changed Book 1/ })
  t.match(await observe('select stock from book'), [{ stock: 3 }])
})

onSqlite('a route that was declared before the plugin has loaded is retried as well, and a mistake shows when the app starts', async (t, { orm, kind }) => {
  let runs = 0
  const { get } = await startServer(t, { orm }, () => {}, app => {
    app.get('/early', { config: { orm: { retry } } }, async () => {
      if (++runs < 3) await conflict(kind)
      return { runs: runs + await em().count(Book) }
    })
  })
  t.strictSame(await (await get('/early')).json(), { runs: 3 })
  await t.rejects(startServer(t, { orm }, app => {
    app.get('/', { config: { orm: { retry: 3, transaction: false } } }, async () => {})
  }), { code: 'FST_ORM_BAD_OPTION', message: /^route GET \/, config.orm: the option "retry" takes a transaction/ })
})

onSqlite('a later attempt may answer by itself, and throw what is no error', async (t, { orm, kind }) => {
  let runs = 0
  const { get, log } = await startServer(t, { orm }, app => {
    app.get('/:how', { config: { orm: { retry } } }, async (request, reply) => {
      if (++runs % 2 === 1) await conflict(kind)
      if ((request.params as any).how === 'hijack') {
        reply.hijack()
        reply.raw.end('by hand')
      }
      throw 'no error' // eslint-disable-line no-throw-literal
    })
  })
  t.equal(await (await get('/hijack')).text(), 'by hand')
  t.match(log, [{ level: 50, msg: 'A handler has failed whose reply is sent' }])
  const response = await get('/thrown')
  t.strictSame([response.status, await response.text()], [500, 'no error'])
})

onEachPool('each attempt at a request that a context injects is inside of that context', async (t, { another }) => {
  const orm = await another({ pool: { max: 1 } })
  let runs = 0
  const { app } = await startServer(t, { orm }, app => {
    app.post('/', { config: { orm: { retry: { ...retry, when: () => true } } } }, async () => {
      if (++runs === 1) throw new Error('again')
      await em().insert(Book, { title: 'Persuasion' })
    })
  })
  await runInContext({ orm, name: 'job' }, async () => {
    await em().insert(Book, { title: 'Emma' })
    const { code } = (await app.inject({ method: 'POST', url: '/' })).json()
    t.equal(code, 'FST_ORM_POOL_STARVED')
  })
  t.equal(runs, 3)
})

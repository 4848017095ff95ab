import { once } from 'node:events'
import { request as httpRequest, type ClientRequest } from 'node:http'
import { Readable } from 'node:stream'
import { em } from '../../index.ts'
import { Book, onEachDatabase, onEachPool } from '../support/databases.ts'
import { NEEDS_HANDLER_TIMEOUT } from '../support/fastify-features.ts'
import { delayCommits, isCommitting } from '../support/delayed-commits.ts'
import { lockBooks } from '../support/locked-books.ts'
import { isBlocked, isBusy, untilNone, untilOne } from '../support/server-connections.ts'
import { startServer } from '../support/server.ts'
import { until } from '../support/until.ts'

onEachPool('an error that comes during the commit does not undo what is being committed', async (t, database) => {
  const { orm, titles, taken } = database
  const release = await delayCommits(database, 'Emma')
  const committing = Promise.withResolvers<void>()
  const { get, log } = await startServer(t, { orm }, app => {
    app.get('/', async (_request, reply) => {
      em().create(Book, { title: 'Emma' })
      reply.send({ ok: true })
      await committing.promise
      throw new Error('too late')
    })
  })
  const response = get('/')
  await untilOne(database, isCommitting)
  committing.resolve()
  await until(async () => log.length > 0)
  await release()
  t.equal((await response).status, 200)
  t.strictSame(await (await response).json(), { ok: true })
  t.strictSame(await titles(), ['Emma'])
  t.match(log, [{ level: 40, msg: 'GET /: an error came while the reply was being committed, and the reply stands', err: { message: 'too late' } }])
  t.equal(taken(), 0)
})

onEachPool('an error that comes during the flush wins, and nothing is written', async (t, database) => {
  const { orm, titles, taken } = database
  const unlock = await lockBooks(database)
  const { get } = await startServer(t, { orm }, app => {
    for (const path of ['/object', '/string']) {
      app.get(path, { handlerTimeout: 200 }, async () => {
        em().create(Book, { title: path })
        return path === '/object' ? { ok: true } : 'ok'
      })
    }
  })
  const statuses = (await Promise.all([get('/object'), get('/string')])).map(({ status }) => status)
  t.strictSame(statuses, [503, 503], 'and the client does not wait for the statement that is still running')
  await unlock()
  await untilNone(database, isBusy)
  t.strictSame(await titles(), [])
  await until(async () => taken() === 0)
}, NEEDS_HANDLER_TIMEOUT)

for (const hook of ['onSend', 'preSerialization'] as const) {
  onEachDatabase(`an error that comes during a slow ${hook} hook of somebody else wins`, async (t, { orm, titles, taken }) => {
    const failed = Promise.withResolvers<void>()
    let calls = 0
    const { get } = await startServer(t, { orm }, app => {
      app.addHook('onError', async () => failed.resolve())
      app.addHook(hook as 'onSend', async () => {
        if (++calls === 1) await failed.promise
        else for (let turn = 0; turn < 20; turn++) await new Promise(resolve => setImmediate(resolve)) // lets the first go ahead
      })
      app.setErrorHandler(async (_error, _request, reply) => reply.code(503).send({ ok: false }))
      app.get('/', { handlerTimeout: 100 }, async () => {
        await em().insert(Book, { title: 'Emma' })
        return { ok: true }
      })
    })
    const response = await get('/')
    t.strictSame([response.status, await response.json()], [503, { ok: false }])
    t.strictSame(await titles(), [])
    await until(() => taken() === 0)
  }, NEEDS_HANDLER_TIMEOUT)
}

onEachDatabase('a stream that an error has overtaken is destroyed', async (t, { orm, titles, taken }) => {
  await orm.em.fork().count(Book) // so that the handler does not wait for its first connection until its timeout
  const failed = Promise.withResolvers<void>()
  const payload = Readable.from(['Emma'])
  let calls = 0
  const { get } = await startServer(t, { orm }, app => {
    app.addHook('onError', async () => failed.resolve())
    app.addHook('onSend', async () => { if (++calls === 1) await failed.promise })
    app.get('/', { handlerTimeout: 1000 }, async () => {
      await em().insert(Book, { title: 'Emma' })
      return payload
    })
  })
  t.equal((await get('/')).status, 503)
  await until(() => payload.destroyed)
  t.strictSame(await titles(), [])
  await until(() => taken() === 0)
}, NEEDS_HANDLER_TIMEOUT)

onEachPool('a handlerTimeout is answered while the request still waits for a connection', async (t, { another, taken, titles, sent }) => {
  const orm = await another({ pool: { min: 0, max: 1 } })
  const blocker = orm.em.fork()
  await blocker.begin()
  const { get } = await startServer(t, { orm }, app => {
    app.get('/', { handlerTimeout: 100 }, async () => await em().insert(Book, { title: 'Emma' }))
  })
  t.equal((await get('/')).status, 503)
  await blocker.rollback()
  await until(async () => taken() === 0)
  t.notOk(sent.some(sql => sql.startsWith('insert')))
  t.strictSame(await titles(), [])
}, NEEDS_HANDLER_TIMEOUT)

for (const transaction of ['on-write', 'on-query'] as const) {
  onEachPool(`an error is answered while a statement is still running that nobody awaits, with transaction: ${transaction}`, async (t, database) => {
    const { orm, taken, titles } = database
    const unlock = await lockBooks(database)
    const { get } = await startServer(t, { orm, transaction }, app => {
      app.get('/', async () => {
        await (em() as any).execute('select 1')
        em().insert(Book, { title: 'Emma' }).catch(() => {})
        await untilOne(database, isBlocked)
        throw new Error('enough')
      })
    })
    t.equal((await get('/')).status, 500)
    await untilOne(database, isBlocked)
    await unlock()
    await until(() => taken() === 0)
    t.strictSame(await titles(), [])
  })
}

onEachPool('a write that comes during the commit is refused', async (t, database) => {
  const { orm, titles } = database
  const release = await delayCommits(database, 'Emma')
  const late = Promise.withResolvers<unknown>()
  const committing = Promise.withResolvers<void>()
  const { get } = await startServer(t, { orm }, app => {
    app.get('/', async () => {
      em().create(Book, { title: 'Emma' })
      committing.promise.then(() => em().insert(Book, { title: 'late' })).catch(late.resolve)
      return { ok: true }
    })
  })
  const response = get('/')
  await untilOne(database, isCommitting)
  committing.resolve()
  t.match(await late.promise, { code: 'FST_ORM_CONTEXT_ENDED', message: 'GET / has ended (it is being settled), which is too late for this: insert' })
  await release()
  t.equal((await response).status, 200)
  t.strictSame(await titles(), ['Emma'])
})

onEachPool('a client that goes away during the commit changes nothing about it', async (t, database) => {
  const { orm, titles } = database
  const release = await delayCommits(database, 'Emma')
  const closed = Promise.withResolvers<void>()
  const { app } = await startServer(t, { orm }, app => {
    app.get('/', async (_request, reply) => {
      reply.raw.on('close', () => closed.resolve())
      em().create(Book, { title: 'Emma' })
      return { ok: true }
    })
  })
  const request = httpRequest(`${app.listeningOrigin}/`).on('error', () => {}).end()
  await untilOne(database, isCommitting)
  request.destroy()
  await closed.promise
  await release()
  await until(async () => (await titles()).length === 1)
  t.strictSame(await titles(), ['Emma'])
})

onEachDatabase('an async handler that does not return its reply is answered by the reply that it sent', async (t, { orm, titles }) => {
  const { post, log } = await startServer(t, { orm }, app => {
    app.post('/object', async (_request, reply) => {
      em().create(Book, { title: 'object' })
      reply.send({ ok: true })
    })
    app.post('/string', async (_request, reply) => {
      em().create(Book, { title: 'string' })
      reply.send('ok')
    })
    app.post('/twice', async (_request, reply) => {
      em().create(Book, { title: 'twice' })
      reply.send({ reply: 1 })
      return { reply: 2 }
    })
    app.post('/throws', async (_request, reply) => {
      em().create(Book, { title: 'throws' })
      reply.send({ ok: true })
      throw new Error('too late?')
    })
  })
  t.strictSame(await (await post('/object')).json(), { ok: true })
  t.equal(await (await post('/string')).text(), 'ok')
  t.strictSame(await titles(), ['object', 'string'])
  t.strictSame(await (await post('/twice')).json(), { reply: 1 })
  t.ok(log.every(({ msg }) => /a second reply came while the reply was being committed, and the reply stands/.test(msg)))
  const response = await post('/throws')
  t.equal(response.status, 500, 'thrown before the commit was sent')
  t.strictSame(await titles(), ['object', 'string', 'twice'])
})

onEachDatabase('a client that goes away leaves nothing written, and the handler goes on', async (t, { orm, titles, taken }) => {
  const errors = { '/used': Promise.withResolvers<unknown>(), '/unused': Promise.withResolvers<unknown>() }
  const { app, get, log } = await startServer(t, { orm }, app => {
    for (const path of ['/used', '/unused'] as const) {
      app.get(path, async (_request, reply) => {
        if (path === '/used') await em().insert(Book, { title: 'before' })
        const closed = once(reply.raw, 'close')
        clients.get(path)!.destroy()
        await closed
        await em().insert(Book, { title: 'after' }).catch(errors[path].resolve)
        return { ok: true }
      })
    }
    app.get('/next', async () => em().count(Book))
  })
  const clients = new Map<string, ClientRequest>()
  for (const path of ['/used', '/unused'] as const) {
    clients.set(path, httpRequest(app.listeningOrigin + path).on('error', () => {}).end())
    t.match(await errors[path].promise, { code: 'FST_ORM_CONTEXT_ENDED', message: `GET ${path} has ended (${path === '/used' ? 'rolledBack' : 'untouched'})` })
  }
  t.equal(await (await get('/next')).text(), '0')
  t.strictSame(await titles(), [])
  t.equal(taken(), 0)
  t.strictSame(log, [])
})

onEachDatabase('after reply.hijack(), what is not committed is rolled back with the response, and said so', async (t, { orm, titles, taken }) => {
  const closed = { '/forgotten': Promise.withResolvers<void>(), '/committed': Promise.withResolvers<void>() }
  const { get, log } = await startServer(t, { orm }, app => {
    for (const path of ['/forgotten', '/committed'] as const) {
      app.get(path, async (_request, reply) => {
        reply.hijack()
        await em().insert(Book, { title: path })
        if (path === '/committed') await em().commit()
        reply.raw.on('close', () => closed[path].resolve())
        reply.raw.end('by hand')
      })
    }
  })
  for (const path of ['/forgotten', '/committed'] as const) {
    t.equal(await (await get(path)).text(), 'by hand')
    await closed[path].promise
  }
  await until(async () => taken() === 0)
  t.strictSame(await titles(), ['/committed'])
  t.match(log, [{ level: 40, msg: /^GET \/forgotten: the response has closed, .* After reply\.hijack\(\), call commit\(\)/ }])
})

onEachDatabase('a reply from a subscriber to the flush of another reply is the second one', async (t, { orm, titles }) => {
  let replyInside: (() => void) | undefined
  orm.em.getEventManager().registerSubscriber({
    beforeFlush () {
      replyInside?.()
      replyInside = undefined
    }
  })
  const { get, log } = await startServer(t, { orm }, app => {
    app.get('/', async (_request, reply) => {
      em().create(Book, { title: 'Emma' })
      replyInside = () => { reply.send({ outer: false }) }
      return { outer: true }
    })
  })
  const response = await get('/')
  t.equal(response.status, 200)
  t.strictSame(await response.json(), { outer: true })
  t.strictSame(await titles(), ['Emma'])
  t.match(log, [{ msg: 'GET /: a second reply came while the reply was being committed, and the reply stands' }])
})

onEachDatabase('a reply whose own hook has written is not sent when an error has taken that back', async (t, { orm, titles }) => {
  const written = Promise.withResolvers<void>()
  const failed = Promise.withResolvers<void>()
  let replies = 0
  const { get } = await startServer(t, { orm }, app => {
    app.addHook('onError', async () => failed.resolve())
    app.addHook('onSend', async () => {
      if (++replies > 1) return
      await em().insert(Book, { title: 'Emma' })
      written.resolve()
      await failed.promise
    })
    app.setErrorHandler(async (_error, _request, reply) => {
      for (let turn = 0; turn < 20; turn++) await new Promise(resolve => setImmediate(resolve)) // lets the first go ahead
      reply.code(503)
      return { ok: false }
    })
    app.get('/', async (_request, reply) => {
      reply.send({ ok: true })
      await written.promise
      throw new Error('no')
    })
  })
  t.equal((await get('/')).status, 503)
  t.strictSame(await titles(), [])
})

onEachDatabase('an error that comes before a reply to a request that has only read is sent, wins', async (t, { orm, taken }) => {
  const { get, log } = await startServer(t, { orm }, app => {
    app.get('/', async (_request, reply) => {
      await em().count(Book)
      reply.send('ok')
      throw new Error('not so fast')
    })
  })
  const response = await get('/')
  t.equal(response.status, 500)
  t.match(await response.json(), { message: 'not so fast' })
  t.strictSame(log.filter(({ level }) => level !== 50), [])
  t.equal(taken(), 0)
  t.equal((await get('/')).status, 500)
})

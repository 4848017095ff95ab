import { DeadlockException } from '@mikro-orm/core'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { request as send } from 'node:http'
import type { IdempotencyEvent } from '../../../idempotency.ts'
import { afterRollback, beforeCommit, commit, em } from '../../../index.ts'
import { Keys } from '../../../lib/extensions/idempotency/keys.ts'
import { createSandbox } from '../../../testing.ts'
import { conflict } from '../../support/conflict.ts'
import { Book, onEachPool, onEveryEngine, onSqlite } from '../../support/databases.ts'
import { NEEDS_HANDLER_TIMEOUT } from '../../support/fastify-features.ts'
import { until } from '../../support/until.ts'
import { ONCE, startKeyedServer, startKeyedServers, withKeys, type Answer } from './keyed-server.ts'

const RETRIED = { ...ONCE, orm: { retry: { attempts: 3, delay: () => 0 } } }

onEveryEngine('with retry, each attempt takes the key anew, and the reply of the last one is stored', async (t, database) => {
  let runs = 0
  let hooks = 0
  const { post } = await startKeyedServer(t, { orm: await withKeys(database) }, app => {
    app.post('/', { config: RETRIED, preHandler: async () => { hooks++ } }, async (_request, reply) => {
      reply.header(`x-run-${++runs}`, 'yes')
      const book = em().create(Book, { title: `${runs}` })
      await em().flush()
      if (runs === 1) await conflict(database.kind)
      if (runs === 2) return await reply.code(201).send(book)
      return book
    })
  })
  const events: string[] = []
  const note = (event: unknown): void => { events.push((event as IdempotencyEvent).result) }
  subscribe('fastify-context-orm:idempotency', note)
  t.teardown(() => unsubscribe('fastify-context-orm:idempotency', note))
  const first = await post('/', 'a')
  const again = await post('/', 'a')
  for (const { status, headers, json } of [first, again]) {
    t.equal(status, 201)
    t.match(json, { title: '2' })
    t.equal(headers.get('x-run-2'), 'yes')
    t.equal(headers.get('x-run-1'), null)
  }
  t.equal(again.body, first.body)
  t.equal(again.headers.get('idempotency-replayed'), 'true')
  t.strictSame([runs, hooks], [2, 2])
  t.strictSame(events, ['claimed', 'replayed'])
  t.strictSame(await database.titles(), ['2'])
})

onEveryEngine('when the attempts are used up, the key is free again', async (t, database) => {
  let runs = 0
  const { post } = await startKeyedServer(t, { orm: await withKeys(database) }, app => {
    app.post('/', { config: RETRIED }, async () => {
      em().create(Book, { title: `${++runs}` })
      await em().flush()
      if (runs <= 3) await conflict(database.kind)
      return { runs }
    })
  })
  t.equal((await post('/', 'a')).status, database.kind === 'sqlite' || database.kind === 'libsql' ? 500 : 503)
  t.match(await post('/', 'a'), { status: 200, body: '{"runs":4}' })
  t.match(await post('/', 'a'), { status: 200, body: '{"runs":4}' })
  t.strictSame(await database.titles(), ['4'])
})

onEveryEngine('a second request waits while the first makes its attempts, and is refused if that takes too long', async (t, database) => {
  const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const runs: string[] = []
  let arrived = 0
  const { post } = await startKeyedServer(t, { orm: await withKeys(database) }, app => {
    for (const [url, wait] of [['/patient', 20_000], ['/impatient', 10]] as const) {
      app.post(url, { config: { ...RETRIED, idempotency: { wait } }, preHandler: async () => { arrived++ } }, async request => {
        runs.push(request.id)
        if (runs.length === 1) beforeCommit(() => conflict(database.kind)) // when its reply is on its way
        em().create(Book, { title: request.id })
        await em().flush()
        await gates[runs.length - 1]!.promise
        return { ok: request.id }
      })
    }
  })
  const first = post('/patient', 'a')
  await until(() => runs.length === 1)
  const second = post('/patient', 'a')
  await until(() => arrived === 2)
  gates[0]!.resolve()
  await until(() => runs.length === 2)
  t.match(await post('/impatient', 'a'), { status: 409, json: { code: 'FST_ORM_IDEMPOTENCY_IN_PROGRESS' } })
  gates[1]!.resolve()
  t.equal((await second).body, (await first).body)
  t.equal((await second).headers.get('idempotency-replayed'), 'true')
  t.strictSame(runs, [runs[0], runs[0]])
  t.equal((await database.titles()).length, 1)
})

onEachPool('an attempt replays what another server has done since the one before', async (t, database) => {
  let runs = 0
  let other: Answer | undefined
  const servers = await startKeyedServers(t, database, 2, app => {
    app.post('/', { config: RETRIED }, async () => {
      const run = ++runs
      const book = em().create(Book, { title: `${run}` })
      await em().flush()
      if (run > 1) return book
      afterRollback(async () => { other = await servers[1]!.post('/', 'a') })
      return await conflict(database.kind)
    })
  })
  const first = await servers[0]!.post('/', 'a')
  t.equal(first.status, 200)
  t.equal(first.body, other!.body)
  t.equal(first.headers.get('idempotency-replayed'), 'true')
  t.equal(runs, 2)
  t.strictSame(await database.titles(), ['2'])
})

onEveryEngine('what a failed attempt still sends is not stored', async (t, database) => {
  const stale = Promise.withResolvers<void>()
  let runs = 0
  const { post } = await startKeyedServer(t, { orm: await withKeys(database) }, app => {
    app.post('/', { config: RETRIED }, async (_request, reply) => {
      const title = `${++runs}`
      await em().insert(Book, { title })
      if (runs === 1) {
        until(() => runs === 2).then(() => {
          reply.send('stale')
          setImmediate(stale.resolve)
        })
        await conflict(database.kind)
      }
      await stale.promise
      return 'fresh'
    })
  })
  t.match(await post('/', 'a'), { status: 200, body: 'fresh' })
  t.match(await post('/', 'a'), { status: 200, body: 'fresh' })
})

onEveryEngine('a hook that uses the EntityManager, and a commit by hand, leave no second attempt', async (t, database) => {
  let runs = 0
  const { post } = await startKeyedServer(t, { orm: await withKeys(database) }, app => {
    app.post('/hook', { config: RETRIED, preHandler: async () => { await em().count(Book) } }, async () => {
      if (++runs === 1) await conflict(database.kind)
      return { runs }
    })
    app.post('/commit', { config: RETRIED }, async () => {
      await commit()
      return await conflict(database.kind)
    })
  })
  t.match(await post('/hook', 'a'), { status: 503, json: { code: 'FST_ORM_NOT_RETRIABLE' } })
  t.match(await post('/hook', 'a'), { status: 200, body: '{"runs":2}' })
  t.match(await post('/commit', 'b'), { status: 503, json: { code: 'FST_ORM_NOT_RETRIABLE' } })
  t.match(await post('/commit', 'b'), { status: 409, json: { code: 'FST_ORM_IDEMPOTENCY_UNKNOWN' } })
})

onEveryEngine('a client that leaves between two attempts keeps nobody waiting', async (t, database) => {
  let runs = 0
  const leaving = new AbortController()
  const config = { ...ONCE, orm: { retry: { delay: () => { leaving.abort(); return 100_000 } } } }
  const { post, url } = await startKeyedServer(t, { orm: await withKeys(database), keys: { wait: 20_000 } }, app => {
    app.post('/', { config }, async () => {
      if (++runs === 1) await conflict(database.kind)
      return em().create(Book, { title: `${runs}` })
    })
  })
  const client = send(url, { method: 'POST', headers: { 'idempotency-key': 'a', 'content-type': 'application/json' }, signal: leaving.signal })
  client.end('{}')
  await t.rejects(once(client, 'response'), { code: 'ABORT_ERR' })
  t.match(await post('/', 'a'), { status: 200, json: { title: '2' } })
})

onEachPool('an attempt whose key was taken and given up meanwhile is made again', async (t, database) => {
  const { insert } = Keys.prototype
  t.teardown(() => { Keys.prototype.insert = insert })
  let inserts = 0
  Keys.prototype.insert = async function (...args) {
    if (++inserts === 1) await conflict(database.kind).catch(error => { throw new DeadlockException(error) })
    return await insert.apply(this, args)
  }
  const { post } = await startKeyedServer(t, { orm: await withKeys(database) }, app => {
    app.post('/', { config: RETRIED }, async () => em().create(Book, { title: 'Emma' }))
  })
  t.equal((await post('/', 'a')).status, 200)
  t.equal(inserts, 2)
  t.equal((await post('/', 'a')).headers.get('idempotency-replayed'), 'true')
})

onSqlite('a request that was answered while it waited for its turn keeps nobody else waiting', async (t, database) => {
  const gate = Promise.withResolvers<void>()
  let runs = 0
  const { app, url } = await startKeyedServer(t, { orm: await withKeys(database) }, app => {
    app.delete('/', { config: ONCE }, async () => {
      if (++runs === 1) await gate.promise
      return { runs }
    })
    app.delete('/hasty', { config: ONCE, handlerTimeout: 20 }, async () => ({ runs: ++runs }))
  })
  const remove = async (path: string): Promise<number> => (await fetch(url + path, { method: 'DELETE', headers: { 'idempotency-key': 'a' } })).status
  const first = remove('/')
  await until(() => runs === 1)
  t.equal(await remove('/hasty'), 503)
  gate.resolve()
  t.equal(await first, 200)
  t.equal(await remove('/'), 200)
  t.equal(runs, 1)
  await app.close()
}, NEEDS_HANDLER_TIMEOUT)

onEachPool('in a sandbox as outside', async (t, database) => {
  const orm = await withKeys(database)
  let runs = 0
  const { app } = await startKeyedServer(t, { orm }, app => {
    const when = (error: any): boolean => error.message === 'again'
    app.post('/', { config: { ...ONCE, orm: { retry: { attempts: 2, delay: () => 0, when } } } }, async (_request, reply) => {
      const book = em().create(Book, { title: `${++runs}` })
      await em().flush()
      if (runs === 1) throw new Error('again')
      return reply.code(runs === 2 ? 422 : 200).send(book)
    })
  })
  const sandbox = await createSandbox(orm)
  await sandbox.run(async () => {
    const post = async (): Promise<any> => await app.inject({ method: 'POST', url: '/', headers: { 'idempotency-key': 'a' } })
    t.equal((await post()).statusCode, 422, 'which keeps nobody waiting')
    const [one, two] = [await post(), await post()]
    t.equal(one.statusCode, 200)
    t.equal(two.body, one.body)
  })
  t.equal(runs, 3)
  await sandbox.rollback()
})

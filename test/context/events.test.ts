import diagnostics from 'node:diagnostics_channel'
import type { Test } from 'tap'
import { afterCommit, afterRollback, beforeCommit, commit, em, runInContext, type BegunEvent, type FailedEvent, type SettledEvent } from '../../index.ts'
import { Book, onEachDatabase, onEachPool } from '../support/databases.ts'
import { collect } from '../support/events.ts'
import { refuseCommits } from '../support/refused-commits.ts'
import { startServer } from '../support/server.ts'
import { until } from '../support/until.ts'

interface Events {
  begun: BegunEvent[]
  settled: SettledEvent[]
  failed: FailedEvent[]
}

function subscribe (t: Test): Events {
  const events: Events = { begun: [], settled: [], failed: [] }
  for (const [name, list] of Object.entries(events)) {
    const note = (message: unknown): void => { list.push(message) }
    diagnostics.subscribe(`fastify-context-orm:${name}`, note)
    t.teardown(() => diagnostics.unsubscribe(`fastify-context-orm:${name}`, note))
  }
  return events
}

onEachDatabase('each context that used a database tells once what became of it', async (t, { orm }) => {
  const events = subscribe(t)
  const { get, post } = await startServer(t, { orm }, app => {
    app.get('/untouched', async () => 'ok')
    app.get('/books/:id', async () => { await em().count(Book); return await em().find(Book, {}) })
    app.post('/books', async () => { em().create(Book, { title: 'Emma' }); await em().flush(); em().create(Book, { title: 'Persuasion' }); return 'ok' })
    app.post('/throw', async () => { await em().insert(Book, { title: 'lost' }); throw new Error('no') })
    app.post('/status', async (_request, reply) => { await em().insert(Book, { title: 'lost' }); return reply.code(422).send('no') })
    app.post('/taken', async () => em().create(Book, { title: 'Emma' }))
  })
  await get('/untouched')
  await get('/nowhere')
  t.strictSame(events, { begun: [], settled: [], failed: [] })

  const settle = async (response: Promise<Response>): Promise<SettledEvent> => {
    events.begun.length = events.settled.length = 0
    await (await response).text()
    t.equal(events.settled.length, 1)
    return events.settled[0]!
  }
  const read = await settle(get('/books/7'))
  t.match(read, {
    kind: 'request',
    method: 'GET',
    route: '/books/:id',
    requestId: 'req-3',
    database: 'default',
    outcome: 'committed',
    ending: 'reply',
    error: undefined,
    held: 0,
    reads: 2,
    writes: 0,
    flushes: 0
  })
  t.ok(read.duration > 0)
  t.strictSame(events.begun, [])

  const written = await settle(post('/books'))
  t.match(written, { method: 'POST', route: '/books', outcome: 'committed', ending: 'reply', writes: 2, flushes: 2 })
  t.ok(written.held > 0 && written.held < written.duration)
  t.ok(written.waited > 0 && written.waited < written.duration)
  t.not(read.id, written.id)
  const [{ context, ...begun }] = events.begun as [BegunEvent]
  t.strictSame(begun, {
    id: written.id, kind: 'request', method: 'POST', route: '/books', requestId: 'req-4', database: 'default', transaction: begun.transaction, sql: begun.sql, line: undefined
  })
  t.match(begun.sql, /^insert into .*Emma/)
  t.match(context, { id: written.id, route: '/books' })

  t.match(await settle(post('/throw')), { outcome: 'rolledBack', ending: 'error', error: { message: 'no' }, writes: 1 })
  t.match(await settle(post('/status')), { outcome: 'rolledBack', ending: 'status', error: undefined })
  t.match(await settle(post('/taken')), { outcome: 'rolledBack', ending: 'error', error: { name: 'UniqueConstraintViolationException' } })
})

onEachDatabase('of a request that has only read, the status and shouldCommit decide as of any other', async (t, { orm }) => {
  const { settled } = subscribe(t)
  const { get } = await startServer(t, { orm }, app => {
    app.get('/missing', async (_request, reply) => { await em().count(Book); return reply.code(404).send('no') })
    app.get('/refused', { config: { orm: { shouldCommit: () => false } } }, async () => { await em().count(Book); return 'ok' })
    app.get('/accepted', { config: { orm: { shouldCommit: () => true } } }, async (_request, reply) => { await em().count(Book); return reply.code(404).send('no') })
  })
  for (const path of ['/missing', '/refused', '/accepted']) await (await get(path)).text()
  t.match(settled, [{ outcome: 'rolledBack', ending: 'status' }, { outcome: 'rolledBack', ending: 'status' }, { outcome: 'committed', ending: 'reply' }])
})

onEachDatabase('jobs and branches tell who they are', async (t, { orm }) => {
  const events = subscribe(t)
  const { get } = await startServer(t, { orm }, app => {
    app.get('/', async () => {
      await runInContext({ name: 'audit' }, () => em().insert(Book, { title: 'audit' }))
      return 'ok'
    })
  })
  await (await get('/')).text()
  t.match(events.settled, [{ kind: 'branch', name: 'audit', requestId: 'req-1', outcome: 'committed', ending: 'return', writes: 1 }])
  t.match(events.begun, [{ kind: 'branch', name: 'audit', requestId: 'req-1' }])
  events.settled.length = 0
  await runInContext({ orm }, async function nightly () { await em().count(Book) })
  await t.rejects(runInContext({ orm, name: 'failing' }, async () => {
    await em().count(Book)
    throw new Error('no')
  }))
  await t.rejects(runInContext({ orm, signal: AbortSignal.timeout(5) }, async () => {
    await em().count(Book)
    await new Promise(() => {})
  }))
  t.match(events.settled, [
    { kind: 'run', name: 'nightly', requestId: undefined, outcome: 'committed', ending: 'return' },
    { kind: 'run', name: 'failing', outcome: 'rolledBack', ending: 'throw', error: { message: 'no' } },
    { kind: 'run', outcome: 'rolledBack', ending: 'abort', error: { name: 'TimeoutError' } }
  ])
})

onEachPool('with several databases there is one event for each, and a commit by hand is no end', async (t, { orm: main, another }) => {
  const events = subscribe(t)
  const audit = await another({ contextName: 'audit' })
  await runInContext({ orm: [main, audit] }, async () => {
    await em('audit').count(Book)
    await em().insert(Book, { title: 'Emma' })
    await commit()
    t.strictSame(events.settled, [])
    await em().insert(Book, { title: 'Persuasion' })
  })
  t.match(events.settled, [{ database: 'default', writes: 2 }, { database: 'audit', reads: 1, writes: 0, held: 0 }])
  t.equal(events.settled.length, 2)
  t.strictSame(events.begun.map(({ database }) => database), ['default', 'default'])
})

onEachDatabase('a commit that is refused is commitFailed', async (t, database) => {
  const { orm } = database
  const events = subscribe(t)
  const refusal = await refuseCommits(database)
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async () => await (em() as any).execute('insert into review (book_id) values (99)'))
  })
  t.equal((await post('/')).status, refusal.status)
  t.match(events.settled, [{ outcome: 'commitFailed', ending: 'reply', error: { name: refusal.name } }])
  t.equal(events.settled.length, 1)
})

onEachDatabase('what fails after the decision is published', async (t, { orm }) => {
  const events = subscribe(t)
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      afterCommit(() => { throw new Error('mail') })
      return 'ok'
    })
  })
  t.equal((await post('/')).status, 200)
  t.match(events.failed, [{ kind: 'request', method: 'POST', route: '/', requestId: 'req-1', message: 'POST /: an afterCommit hook has failed', error: { message: 'mail' } }])
})

onEachDatabase('the request\'s logger gets a debug line with the same', async (t, { orm }) => {
  const lines: any[] = []
  const logger = { level: 'debug', stream: { write: (line: string) => { lines.push(JSON.parse(line)) } } }
  const { post } = await startServer(t, { orm, server: { logger } }, app => {
    app.post('/', async () => await em().insert(Book, { title: 'Emma' }))
    app.post('/throw', async () => {
      await em().count(Book)
      throw new Error('no')
    })
  })
  await post('/')
  await post('/throw')
  t.match(lines.filter(({ level }) => level === 20), [
    { reqId: 'req-1', msg: 'POST / has settled', kind: 'request', outcome: 'committed', writes: 1, held: Number },
    { reqId: 'req-2', msg: 'POST /throw has settled', outcome: 'rolledBack', ending: 'error', err: { message: 'no' } }
  ])
})

onEachPool('a connection that is held for long is warned of', async (t, { orm, sleep }) => {
  const { post, log } = await startServer(t, { orm, warnHeldMs: 1000 }, app => {
    app.post('/:ms', async request => {
      await em().insert(Book, { title: (request.params as any).ms })
      await (em() as any).execute(sleep(Number((request.params as any).ms) / 1000))
      return 'ok'
    })
  })
  await post('/0')
  t.strictSame(log, [])
  await post('/1200')
  t.match(log, [{ level: 40, reqId: 'req-2', msg: /^POST \/:ms has held a connection to "default" for 1\d\d\d ms by its transaction\. Do what is slow before the first write, or after commit\(\)/ }])
  t.equal(log.length, 1)
})

onEachDatabase('each hook that has run is told of, with its time, its error and its context', async (t, { orm }) => {
  const hooks = collect(t, 'fastify-context-orm:hook')
  t.intercept(process, 'emitWarning', { value: () => {} })
  const late = Promise.withResolvers<void>()
  await runInContext({ orm, name: 'job' }, async () => {
    beforeCommit(async function check () { await em().count(Book) })
    afterCommit(function mail () { throw new Error('no mail') })
    afterCommit(() => late.promise, { wait: false })
    afterRollback(() => {})
    await em().transactional(async () => {
      afterRollback(function undo () {})
      throw new Error('no')
    }).catch(() => {})
  })
  t.strictSame(hooks.map(({ hook, function: name }) => [hook, name]), [['afterRollback', 'undo'], ['beforeCommit', 'check'], ['afterCommit', 'mail']])
  t.ok(hooks[1]!.duration > 0)
  t.match(hooks[2], { kind: 'run', name: 'job', error: { message: 'no mail' }, context: { name: 'job', state: 'settling' } })
  late.resolve()
  await until(() => hooks.length === 4)
  t.match(hooks[3], { hook: 'afterCommit', function: '', error: undefined })
})

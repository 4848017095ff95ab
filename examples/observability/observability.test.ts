import { SpanStatusCode } from '@opentelemetry/api'
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor, type ReadableSpan } from '@opentelemetry/sdk-trace-base'
import type { SqlEntityManager } from '@mikro-orm/sql'
import { spawn } from 'node:child_process'
import { hasSubscribers } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import Sqlite from 'better-sqlite3'
import t, { type Test } from 'tap'
import { em, runInContext } from 'fastify-context-orm'
import { until } from '../../test/support/until.ts'
import { withoutPostgres } from '../../test/support/without-servers.ts'
import { createDatabase } from '../support/postgres-database.ts'
import { buildApp } from './app.ts'
import { restock } from './books.ts'
import { Book, openDatabase, type DatabaseOptions } from './database.ts'
import { openTelemetry } from './telemetry.ts'

interface Shop {
  app: FastifyInstance
  get (path: string): Promise<Response>
  post (path: string, body?: object): Promise<Response>
  /** The lines of `/metrics` that hold all of these, or only the numbers at their ends. */
  metrics (...parts: string[]): Promise<string[]>
  values (...parts: string[]): Promise<number[]>
  /** Those that have ended since it was last asked. */
  spans (): ReadableSpan[]
  namespace: string
}

type Run = (t: Test, shop: Shop) => Promise<void>

function onEachDatabase (name: string, run: Run): void {
  t.test(`${name} (SQLite)`, async t => {
    const file = join(t.testdir({}), 'bookshop.sqlite')
    await run(t, await openShop(t, { file }, file))
  })

  t.test(`${name} (PostgreSQL)`, { skip: withoutPostgres }, async t => {
    await run(t, await openPostgresShop(t))
  })
}

async function openPostgresShop (t: Test): Promise<Shop> {
  const { url, name } = await createDatabase(t)
  return await openShop(t, { url, file: 'unused' }, name)
}

async function openShop (t: Test, database: DatabaseOptions, namespace: string): Promise<Shop> {
  const exporter = new InMemorySpanExporter()
  const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
  const app = buildApp({
    database,
    telemetry: openTelemetry(provider),
    async announce (title) {
      if (title === 'Persuasion') throw new Error('nobody listens')
    }
  })
  t.teardown(() => app.close())
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const get = (path: string): Promise<Response> => fetch(url + path)
  const metrics = async (...parts: string[]): Promise<string[]> => (await (await get('/metrics')).text())
    .split('\n').filter(line => !line.startsWith('#') && parts.every(part => line.includes(part)))
  return {
    app,
    namespace,
    get,
    post: (path, body = {}) => fetch(url + path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    metrics,
    values: async (...parts) => (await metrics(...parts)).map(line => Number(line.slice(line.lastIndexOf(' ')))),
    spans () {
      const spans = exporter.getFinishedSpans()
      exporter.reset()
      return spans
    }
  }
}

const COUNT = 'orm_context_duration_count'

const toMilliseconds = ([seconds, nanoseconds]: [number, number]): number => 1e3 * seconds + nanoseconds / 1e6

onEachDatabase('a request that writes is counted and traced under its route', async (t, { namespace, post, values, spans }) => {
  const before = Date.now()
  for (const title of ['Emma', 'Mathilda']) t.equal((await post('/books', { title })).status, 200)

  const labels = 'orm_kind="request",fastify_context_orm_context="POST /books",fastify_context_orm_database="default"'
  t.strictSame(await values('orm_context_duration_count', labels, 'orm_outcome="committed"', 'orm_ending="reply"'), [2])
  t.strictSame(await values('orm_transactions_total', labels), [2])
  t.strictSame(await values('orm_statements_total', 'orm_type="write"', labels), [2])
  t.strictSame(await values('orm_flushes_total', labels), [2])
  t.strictSame(await values('orm_context_held_count'), [2])
  const [duration] = await values('orm_context_duration_sum')
  const [held] = await values('orm_context_held_sum')
  t.ok(held! > 0 && duration! > held! && duration! < 60, 'in seconds')

  const [span, ...others] = spans()
  t.equal(others.length, 1)
  t.match(span, {
    name: 'context POST /books',
    status: { code: SpanStatusCode.UNSET },
    attributes: {
      'http.request.method': 'POST',
      'http.route': '/books',
      'db.namespace': namespace,
      'fastify_context_orm.kind': 'request',
      'fastify_context_orm.database': 'default',
      'fastify_context_orm.request_id': 'req-1',
      'fastify_context_orm.outcome': 'committed',
      'fastify_context_orm.ending': 'reply',
      'fastify_context_orm.writes': 1,
      'fastify_context_orm.flushes': 1
    }
  })
  const [start, end] = [toMilliseconds(span!.startTime), toMilliseconds(span!.endTime)]
  t.ok(start >= before - 1 && start < end && end <= Date.now())
  t.ok(end - start >= 1000 * Number(span!.attributes['fastify_context_orm.held']) - 1)
})

onEachDatabase('a request that only reads has no transaction, and holds nothing', async (t, { get, metrics, values, spans }) => {
  t.strictSame(await (await get('/books')).json(), [])
  t.strictSame(await values(COUNT, 'context="GET /books"', 'outcome="committed"'), [1])
  t.strictSame(await values('orm_statements_total', 'type="read"'), [1])
  t.strictSame(await values('orm_statements_total', 'type="write"'), [0])
  t.strictSame(await metrics('orm_transactions_total'), [])
  t.strictSame(await metrics('orm_context_held'), [])
  t.match(spans(), [{ attributes: { 'fastify_context_orm.held': 0, 'fastify_context_orm.reads': 1, 'fastify_context_orm.writes': 0 } }])
})

onEachDatabase('a request that fails is an error, and its span quotes no values', async (t, { post, values, spans }) => {
  await post('/books', { title: 'Emma' })
  spans()
  t.equal((await post('/books', { title: 'Emma' })).status, 409)
  t.strictSame(await values(COUNT, 'outcome="rolledBack"', 'ending="error"'), [1])
  const [span, ...others] = spans()
  t.strictSame(others, [])
  t.match(span, {
    status: { code: SpanStatusCode.ERROR, message: 'rolledBack (error)' },
    attributes: { 'error.type': 'UniqueConstraintViolationException' },
    events: []
  })
  t.notMatch(JSON.stringify([span!.attributes, span!.status]), 'Emma')
})

t.test('a commit that fails is an error, and is counted as such (PostgreSQL)', { skip: withoutPostgres }, async t => {
  const { app, post, values, spans } = await openPostgresShop(t)
  await (app.orm.em.fork() as SqlEntityManager).execute(`
    create function refuse() returns trigger language plpgsql as $$ begin raise exception 'not at the commit'; end $$;
    create constraint trigger refuse after insert on book deferrable initially deferred for each row execute function refuse()
  `)
  t.equal((await post('/books', { title: 'Emma' })).status, 500)
  t.strictSame(await values(COUNT, 'outcome="commitFailed"', 'ending="reply"'), [1])
  t.match(spans(), [{ status: { code: SpanStatusCode.ERROR, message: 'commitFailed (reply)' }, attributes: { 'error.type': 'DriverException' } }])
})

onEachDatabase('a branch and its request are counted and traced each for itself', async (t, { post, values, spans }) => {
  const { id } = await (await post('/books', { title: 'Emma' })).json() as { id: number }
  spans()
  const statuses: number[] = []
  for (let i = 0; i < 4; i++) statuses.push((await post(`/books/${id}/order`)).status)
  t.strictSame(statuses, [200, 200, 200, 409])
  t.strictSame(await values(COUNT, 'kind="branch"', 'context="look up"', 'outcome="committed"', 'ending="return"'), [4])
  t.strictSame(await values(COUNT, 'context="POST /books/:id/order"', 'outcome="committed"'), [3])
  t.strictSame(await values(COUNT, 'context="POST /books/:id/order"', 'outcome="rolledBack"', 'ending="error"'), [1])
  const [branch, request] = spans()
  t.match(branch, { name: 'context look up', attributes: { 'fastify_context_orm.kind': 'branch' } })
  t.match(request, { name: 'context POST /books/:id/order' })
  t.equal(branch!.attributes['fastify_context_orm.request_id'], request!.attributes['fastify_context_orm.request_id'])
})

onEachDatabase('a job is counted under its name, if that is one of those that are known', async (t, { app, metrics, values, spans }) => {
  t.equal(await restock(app), 0)
  for (let i = 0; i < 20; i++) await runInContext({ orm: app.orm, name: `job ${i}` }, () => em().count(Book))
  await t.rejects(runInContext({ orm: app.orm, name: 'job 20' }, async () => {
    await em().count(Book)
    throw 'no' // eslint-disable-line no-throw-literal
  }))
  t.strictSame(await values(COUNT, 'kind="run"', 'context="restock"', 'outcome="committed"', 'ending="return"'), [1])
  t.strictSame(await values(COUNT, 'context="(other)"', 'outcome="committed"'), [20])
  t.strictSame(await values(COUNT, 'context="(other)"', 'outcome="rolledBack"', 'ending="throw"'), [1])
  t.equal((await metrics(COUNT)).length, 3)
  t.strictSame(await metrics('context="job'), [])
  const all = spans()
  t.match(all[0], { name: 'context restock', attributes: { 'fastify_context_orm.name': 'restock', 'http.route': undefined } })
  t.match(all.at(-1), { status: { code: SpanStatusCode.ERROR }, attributes: { 'error.type': '_OTHER' } })
})

onEachDatabase('a hook that fails after the commit is counted, and the request is not', async (t, { post, values, spans }) => {
  t.equal((await post('/books', { title: 'Persuasion' })).status, 200)
  t.strictSame(await values('orm_failures_total', 'kind="request"', 'context="POST /books"'), [1])
  t.strictSame(await values(COUNT, 'outcome="committed"'), [1])
  t.match(spans(), [{ status: { code: SpanStatusCode.UNSET } }])
})

onEachDatabase('as many urls as there are make no more time series than there are routes', async (t, { post, get, metrics }) => {
  for (let id = 100; id < 120; id++) {
    t.equal((await post(`/books/${id}/order`)).status, 404)
    await get(`/nowhere/${id}`)
  }
  t.equal((await metrics(COUNT)).length, 1, 'the look up; the request itself has used no database')
  t.strictSame(await metrics('nowhere'), [])
  t.strictSame(await metrics('/10'), [])
})

onEachDatabase('the app sees its last contexts settle, and leaves no subscriber behind', async (t, { app, spans }) => {
  const channels = ['begun', 'settled', 'failed'].map(name => `fastify-context-orm:${name}`)
  t.ok(channels.every(hasSubscribers))
  const entered = Promise.withResolvers<void>()
  const leave = Promise.withResolvers<void>()
  const job = runInContext({ orm: app.orm, name: 'restock' }, async () => {
    await em().count(Book)
    entered.resolve()
    await leave.promise
  })
  await entered.promise
  const closed = app.close()
  await until(() => !app.server.listening)
  leave.resolve()
  await Promise.all([job, closed])
  t.match(spans(), [{ name: 'context restock' }])
  t.notOk(channels.some(hasSubscribers))
})

onEachDatabase('the dashboard and the alerts ask for metrics that there are', async (t, { app, get, post, metrics }) => {
  await get('/books')
  for (let i = 0; i < 2; i++) await post('/books', { title: 'Persuasion' })
  await restock(app)
  const served = new Set((await metrics('')).map(line => /^\w+/.exec(line)?.[0]))
  const files = await Promise.all(['dashboard.json', 'alerts.yml'].map(file => readFile(join(import.meta.dirname, file), 'utf8')))
  const asked = files.flatMap(text => text.match(/\b(?:fastify_context_orm|db_client)_\w+(?:_total|_count|_bucket|_requests)\b/g) ?? [])
  t.ok(asked.length > 10)
  for (const name of new Set(asked)) t.ok(served.has(name), name)
  JSON.parse(files[0]!)
  t.equal(files[1]!.match(/- alert: /g)?.length, 3)
})

t.test('the server serves metrics, and ends on SIGTERM', async t => {
  const folder = t.testdir({})
  const { DATABASE_URL, ...env } = process.env
  const program = spawn(process.execPath, [join(import.meta.dirname, 'server.ts')], { env: { ...env, PORT: '0', RESTOCK_SECONDS: '0.05', DATABASE_FILE: join(folder, 'bookshop.sqlite') } })
  t.teardown(() => program.kill('SIGKILL'))
  let url: string | undefined
  for await (const line of createInterface(program.stdout)) {
    url = /look at (http:\S+)$/.exec(line)?.[1]
    if (url !== undefined) break
  }
  program.stdout.resume()
  const added = await fetch(new URL('/books', url!), { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"title":"Emma"}' })
  t.match(await added.json(), { title: 'Emma' })
  await until(async () => /^fastify_context_orm_context_duration_count\{.*restock.*\} \d/m.test(await (await fetch(url!)).text()))
  const exited = new Promise(resolve => program.once('exit', resolve))
  program.kill('SIGTERM')
  t.equal(await exited, 0)
})

t.test('a database that cannot be used is closed again', async t => {
  const file = join(t.testdir({}), 'other.sqlite')
  const other = new Sqlite(file)
  other.exec('create view book as select 1 as id')
  other.close()
  await t.rejects(openDatabase({ file }), /book/)
})

t.test('the server says why it cannot open', async t => {
  const program = spawn(process.execPath, [join(import.meta.dirname, 'server.ts')], { env: { ...process.env, PORT: '0', DATABASE_URL: 'postgresql://127.0.0.1:1/books' } })
  t.teardown(() => program.kill('SIGKILL'))
  const [errors, [code]] = await Promise.all([program.stderr.toArray(), once(program, 'close')])
  t.equal(Buffer.concat(errors).toString(), 'The bookshop cannot open: connect ECONNREFUSED 127.0.0.1:1\n')
  t.equal(code, 1)
})

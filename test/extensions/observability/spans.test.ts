import { SpanKind, SpanStatusCode } from '@opentelemetry/api'
import { MeterProvider } from '@opentelemetry/sdk-metrics'
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { hasSubscribers } from 'node:diagnostics_channel'
import Fastify from 'fastify'
import t from 'tap'
import contextOrm, { em, runInContext } from '../../../index.ts'
import observability, { type ObservabilityOptions } from '../../../observability.ts'
import { poolOf, seriesOf } from '../../../lib/extensions/observability/names.ts'
import { attributesOfStatement } from '../../../lib/extensions/observability/statements.ts'
import { Book, onEachDatabase, onSqlite } from '../../support/databases.ts'
import { startObserved } from './observed-server.ts'

const CHANNELS = ['begun', 'statement', 'settled', 'failed'].map(name => `fastify-context-orm:${name}`)

onEachDatabase('a context is a span, and so is each of its statements if that is asked for', async (t, { orm }) => {
  const { post, spans } = await startObserved(t, orm, { spans: 'statements' }, app => {
    app.post('/books', async () => {
      await em().insert(Book, { title: 'Emma' })
      return 'ok'
    })
  })
  const before = Date.now()
  await post('/books')
  const [begin, insert, commit, context, ...others] = spans()
  t.strictSame(others, [])
  t.match([begin!.name, insert!.name, commit!.name], ['BEGIN default', 'INSERT default', 'COMMIT default'])
  t.match(insert, { kind: SpanKind.CLIENT, status: { code: SpanStatusCode.UNSET }, attributes: { 'db.operation.name': 'INSERT', 'db.query.summary': /^insert into/ } })
  t.notMatch(JSON.stringify(insert!.attributes), 'Emma')
  t.match(context, { name: 'context POST /books', attributes: { 'http.route': '/books', 'fastify_context_orm.outcome': 'committed', 'fastify_context_orm.writes': 1 } })
  const time = ([seconds, nanoseconds]: [number, number]): number => 1e3 * seconds + nanoseconds / 1e6
  const blink = 100 // for which a busy machine may stop between two looks at the clock
  t.ok(time(insert!.startTime) >= before - blink && time(insert!.endTime) <= Date.now() + blink)
  t.ok(time(context!.startTime) <= time(insert!.startTime) + blink && time(context!.endTime) >= time(commit!.endTime) - blink)

  await post('/books')
  const failed = spans()
  t.match(failed.find(({ name }) => name === 'INSERT default'), { status: { code: SpanStatusCode.ERROR, message: 'it has failed' } })
  t.match(failed.at(-1), { name: 'context POST /books', status: { code: SpanStatusCode.ERROR, message: 'rolledBack (error)' } })
  t.ok(failed.some(({ name }) => name === 'ROLLBACK default'))
  t.notMatch(JSON.stringify(failed.map(({ attributes, status }) => [attributes, status])), 'Emma')
})

onEachDatabase('statements have no spans unless that is asked for, and what was never sent says so', async (t, { orm }) => {
  const some = await startObserved(t, orm, {}, app => {
    app.post('/', async () => await (em() as any).execute('commit'))
  })
  const all = await startObserved(t, orm, { spans: 'statements', metrics: false }, () => {})
  await some.post('/')
  t.match(some.spans().map(({ name }) => name), ['context POST /'])
  t.match(all.spans(), [{ name: '(other) default', status: { code: SpanStatusCode.ERROR, message: 'it was never sent' } }, { name: 'context POST /' }])
  t.strictSame(await all.points('db.client.operation.duration'), [])
})

onSqlite('a request without a route is named, and so are contexts of an app that has no databases itself', async (t, { orm }) => {
  const { post, spans } = await startObserved(t, orm, { spans: 'statements' }, app => {
    app.setNotFoundHandler(async () => `${await em().count(Book)}`)
  })
  await post('/nowhere')
  t.match(spans().at(-1), { name: 'context POST (no route)' })
  const exporter = new InMemorySpanExporter()
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(observability, { tracerProvider: new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }), metrics: false })
  await runInContext({ orm, name: 'job' }, () => em().count(Book))
  t.match(exporter.getFinishedSpans(), [{ name: 'context job', attributes: { 'fastify_context_orm.kind': 'run' } }])
})

onSqlite('what is off listens to nothing, and what is on leaves nothing behind', async (t, { orm }) => {
  t.notOk(CHANNELS.some(hasSubscribers))
  const off = Fastify()
  await off.register(observability, { metrics: false, spans: false })
  await off.register(contextOrm, { orm })
  t.notOk(CHANNELS.some(hasSubscribers))
  await off.close()
  const on = Fastify()
  await on.register(observability, { meterProvider: new MeterProvider() })
  t.ok(CHANNELS.every(hasSubscribers))
  await on.close()
  t.notOk(CHANNELS.some(hasSubscribers))
  for (const options of [{ meterProvider: new MeterProvider(), metrics: false }, {}]) {
    const spans = Fastify()
    await spans.register(observability, options)
    t.strictSame(CHANNELS.filter(hasSubscribers), ['fastify-context-orm:settled'], 'without metrics, or without an SDK, statements are made for nobody')
    await spans.close()
  }
})

t.test('wrong options are refused', async t => {
  const wrong: object[] = [{ metrics: 1 }, { spans: 'all' }, { names: 'nightly' }, { names: [1] }, { meterProvider: {} }, { tracerProvider: null }, { unknown: 1 }]
  for (const options of wrong) {
    await t.rejects(async () => { await Fastify().register(observability, options as ObservabilityOptions) }, { code: 'FST_ORM_BAD_OPTION' })
  }
})

t.test('what has no name, no route and no known database is named all the same', async t => {
  t.equal(seriesOf({ id: 1, kind: 'request', method: 'GET' }, new Set()), 'GET (no route)')
  t.equal(seriesOf({ id: 1, kind: 'run' }, new Set()), '(other)')
  t.equal(poolOf({ database: 'default', replica: false, server: 'a:1' }), 'default')
  t.equal(poolOf({ database: 'default', replica: true, server: 'b:1' }), 'default (b:1)')
  const statement = { database: 'gone', kind: 'write', sql: '', error: 'text' } as any
  t.strictSame(attributesOfStatement(statement, () => undefined), { 'db.system.name': 'other_sql', 'db.namespace': undefined, 'db.operation.name': '(other)', 'error.type': '_OTHER' })
})

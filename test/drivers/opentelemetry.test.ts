import { createRequire } from 'node:module'
import { FastifyOtelInstrumentation } from '@fastify/otel'
import { context, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { registerInstrumentations } from '@opentelemetry/instrumentation'
import { PgInstrumentation } from '@opentelemetry/instrumentation-pg'
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'

const exporter = new InMemorySpanExporter()
const tracerProvider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
registerInstrumentations({ tracerProvider, instrumentations: [new PgInstrumentation({ addSqlCommenterCommentToQueries: true })] })
createRequire(import.meta.url)('pg') // it is wrapped when it is required, and so it must not have been imported before

const { em } = await import('../../index.ts')
const { Book, onPostgres } = await import('../support/databases.ts')
const { startServer } = await import('../support/server.ts')
const { default: observability } = await import('../../observability.ts')

onPostgres('with OpenTelemetry on, and its comments in the SQL, nothing is lost and nothing doubled', async (t, { orm, observe, sent, taken, titles }) => {
  const write = (title: string): Promise<unknown> => em().insert(Book, { title })
  const { get, post } = await startServer(t, { orm }, app => {
    app.addHook('onRequest', (_request, _reply, done) => {
      trace.setGlobalTracerProvider(tracerProvider)
      trace.getTracer('test').startActiveSpan('request', () => done()) // without a span around, there is nothing to comment
    })
    app.post('/good', async () => em().create(Book, { title: 'Emma' }))
    app.post('/two', async () => {
      await write('Persuasion')
      await em().transactional(() => write('Sanditon'))
      return { ok: true }
    })
    app.post('/throws', async () => {
      await write('x')
      throw new Error('take it back')
    })
    app.post('/unique', async () => { await write('Emma') })
    app.post('/syntax', async () => { await (em() as any).execute('inser into book') })
    app.get('/', async () => ({ count: await em().count(Book) }))
  })
  t.match(await (await post('/good')).json(), { id: 1, title: 'Emma', stock: 3 })
  for (const [path, status] of Object.entries({ '/two': 200, '/throws': 500, '/unique': 409, '/syntax': 500 })) {
    t.equal((await post(path)).status, status, path)
    t.equal(taken(), 0, path)
  }
  t.strictSame(await (await get('/')).json(), { count: 3 })
  t.strictSame(await titles(), ['Emma', 'Persuasion', 'Sanditon'])
  t.strictSame(await observe("select 1 from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'"), [])
  t.ok(sent.some(text => /^insert into "book".*Emma.*\/\*traceparent='/s.test(text)), 'it was commented')
  t.ok(exporter.getFinishedSpans().some(({ attributes }) => /^begin;insert into "book"/.test(String(attributes['db.statement'] ?? attributes['db.query.text']))), 'and traced')
})

onPostgres('beside @fastify/otel and the instrumentation of pg, a request is one trace, in which each span has its place and comes once', async (t, { orm, sent, titles }) => {
  const instrumentation = new FastifyOtelInstrumentation()
  instrumentation.setTracerProvider(tracerProvider)
  const { post } = await startServer(t, { orm }, app => {
    app.post('/books', async () => em().create(Book, { title: 'Emma' }))
  }, app => {
    app.register(instrumentation.plugin())
    app.register(observability, { tracerProvider, spans: 'statements' })
  })
  exporter.reset()
  t.equal((await post('/books')).status, 200)
  t.equal((await post('/books')).status, 409)
  t.strictSame(await titles(), ['Emma'])

  const spans = exporter.getFinishedSpans().filter(({ instrumentationScope }) => instrumentationScope.name !== '@opentelemetry/instrumentation-pg')
  const requests = spans.filter(({ name }) => name === 'request')
  t.strictSame(requests.map(({ attributes }) => attributes['http.response.status_code']), [200, 409])
  for (const [i, [outcome, ended]] of [['committed', 'COMMIT default'], ['rolledBack', 'ROLLBACK default']].entries()) {
    const { traceId, spanId } = requests[i]!.spanContext()
    const ofRequest = spans.filter(span => span.spanContext().traceId === traceId)
    const ours = ofRequest.filter(({ name }) => / default$|^context /.test(name))
    t.strictSame(ours.map(({ name }) => name), ['BEGIN default', 'INSERT default', ended, 'context POST /books'])
    t.match(ours.at(-1), { attributes: { 'fastify_context_orm.outcome': outcome } })
    const ids = new Set(ofRequest.map(span => span.spanContext().spanId))
    t.ok(ours.every(({ parentSpanContext }) => ids.has(parentSpanContext!.spanId)), 'each is under the request, or under a hook of it')
    t.ok(ids.has(spanId))
    t.ok(sent.some(text => text.includes(`/*traceparent='00-${traceId}-`)), 'the comments in the SQL lead to that trace')
  }
})

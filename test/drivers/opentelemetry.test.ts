import { createRequire } from 'node:module'
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

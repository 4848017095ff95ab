import t from 'tap'
import { afterCommit, context, em, runInContext, type ContextView } from '../../../index.ts'
import inspector from '../../../inspector.ts'
import { Holdings, type Holding } from '../../../lib/extensions/inspector/holdings.ts'
import { problemsOf } from '../../../lib/extensions/inspector/problems.ts'
import { Records } from '../../../lib/extensions/inspector/records.ts'
import { Texts } from '../../../lib/extensions/inspector/texts.ts'
import { Book, onSqlite } from '../../support/databases.ts'
import { startServer } from '../../support/server.ts'
import { startInspected } from './inspected-server.ts'

t.test('holdings: what nobody has told of changes nothing, and only the last that have ended are known', async t => {
  const holdings = new Holdings()
  const holding = (transaction: number): Holding => ({ context: transaction, label: `job ${transaction}`, database: 'default', transaction, since: performance.now() })
  holdings.explain(1, 'select 1', 'a.ts:1:1')
  holdings.end(1)
  for (let i = 1; i <= 60; i++) holdings.begin(holding(i))
  holdings.endAllOf(60, 'other')
  t.equal(holdings.now().length, 60)
  holdings.endAllOf(60, 'default')
  t.equal(holdings.now().length, 59)
  for (let i = 1; i < 60; i++) holdings.end(i)
  const [first] = holdings.during(0, Infinity, { database: 'default', context: 60 })
  t.equal(first!.label, 'job 10', 'the ten that had ended before have gone')
})

t.test('the worst of several problems of a kind is named, and long statements are cut', async t => {
  const statement = { kind: 'read', database: 'default', sql: `select ${'x'.repeat(100)}`, server: 's', replica: false, sent: true, asked: 0 } as const
  const problems = problemsOf({
    statements: [{ ...statement, waited: 150, duration: 300, waitedFor: [] }, { ...statement, waited: 250, duration: 400, waitedFor: [] }],
    calls: [],
    transactions: [{ number: 1, database: 'default', began: 0, ended: 100, line: 'a.ts:3:1' }, { number: 2, database: 'default', began: 100, line: 'a.ts:4:1' }],
    shapes: new Map([['select ?', { times: 5, line: 'a.ts:1:1' }], ['insert ?', { times: 7, line: 'a.ts:2:1' }]]),
    failures: [],
    heldMs: 600,
    waitingMs: 0,
    holders: []
  })
  t.strictSame(problems, [
    { kind: 'held', text: 'A transaction held a connection for 600 ms', line: 'a.ts:4:1' },
    { kind: 'waited', text: 'A statement waited 250 ms for a connection', line: undefined },
    { kind: 'repeated', text: '7 times: insert ?', line: 'a.ts:2:1' },
    { kind: 'slow', text: `400 ms: select ${'x'.repeat(73)}…`, line: undefined }
  ])
})

t.test('errors of all kinds, and long texts', async t => {
  const shown = new Texts(() => undefined, true)
  const hidden = new Texts(() => undefined, false)
  const error = Object.assign(new Error('secret'), { code: 'E1' })
  t.strictSame([error, 'thrown', null, undefined].map(error => shown.error(error)), ['Error: secret', 'string', 'object', undefined])
  t.strictSame([error, { code: 5 }, { code: 'with blanks' }].map(error => hidden.error(error)), ['Error (E1)', 'object', 'object'])
  t.equal(shown.url('http://localhost/?a=secret'), 'http://localhost/?a=secret')
  t.equal(shown.shown(`select ${'x'.repeat(2000)}`, 'default').length, 1001)
})

onSqlite('a record whose context has ended without a word is dropped when another one ends', async (t, { orm }) => {
  const viewOf = async (): Promise<ContextView> => await runInContext({ orm, name: 'job' }, async () => {
    await em().count(Book)
    return context()
  })
  const records = new Records(new Texts(() => undefined, false))
  records.of(await viewOf())
  t.equal([...records.live].length, 1)
  records.end(records.of(await viewOf()))
  t.equal([...records.live].length, 0)
})

onSqlite('what has begun before the inspector is not its own, and a job of another database is', async (t, { orm, another }) => {
  const go = Promise.withResolvers<void>()
  const before = runInContext({ orm, name: 'before' }, async () => {
    await em().count(Book)
    afterCommit(() => { throw new Error('a hook') })
    await go.promise
  })
  const server = await startServer(t, { orm }, app => { app.register(inspector) })
  const json = async (path: string): Promise<any> => await (await server.get(path)).json()
  go.resolve()
  await before
  t.strictSame(await json('/_orm/contexts'), [])

  const audit = await another({ contextName: 'audit' })
  await runInContext({ orm: audit, name: 'job' }, async () => {
    await em().transactional(async inner => {
      await inner.count(Book)
      t.match(await json('/_orm/pools'), [{ database: 'default' }, { database: 'audit', held: 1 }])
    })
  })
})

onSqlite('a handler without a route, and the list as a page', async (t, { orm }) => {
  const server = await startInspected(t, orm, app => {
    app.setNotFoundHandler(async (_request, reply) => {
      await em().insert(Book, { title: 'Emma' })
      await reply.code(200).send('ok')
    })
    app.get('/by-hand', async () => {
      await em().begin()
      await em().commit()
      return 'ok'
    })
  })
  await (await server.get('/nowhere')).text()
  await (await server.get('/by-hand')).text()
  t.match(await server.contexts(), [{ method: 'GET', outcome: 'committed' }, { route: '/by-hand' }])
  const page = await fetch(`${server.app.listeningOrigin}/_orm/contexts`, { headers: { accept: 'text/html' } })
  t.match(page.headers.get('content-type'), /^text\/html/)
  await page.text()
})

import { once } from 'node:events'
import { get as httpGet } from 'node:http'
import { TransactionPropagation } from '@mikro-orm/core'
import { afterCommit, commit, em, runInContext } from '../../../index.ts'
import { Book, onEachDatabase } from '../../support/databases.ts'
import { here } from '../../support/events.ts'
import { freePort } from '../../support/free-port.ts'
import { startInspected } from './inspected-server.ts'
import { startOther } from './other-server.ts'

onEachDatabase('each reply has a header that leads to its context: reads, the begin and its line, writes, the commit and the first byte', async (t, { orm }) => {
  let line = /never/
  const server = await startInspected(t, orm, app => {
    app.post('/books/:id', async () => {
      await em().count(Book)
      em().create(Book, { title: 'Emma' })
      line = here(1)
      await em().flush()
      return 'ok'
    })
  })
  const response = await server.post('/books/7?token=secret')
  t.match(response.headers.get('x-orm-context'), /^\/_orm\/contexts\/\d+$/)
  t.equal(await response.text(), 'ok')
  const context = await server.contextOf(response)
  t.match(context, {
    kind: 'request', method: 'POST', route: '/books/:id', requestId: 'req-1', state: 'ended', outcome: 'committed', ending: 'reply', status: 200, reads: 1, writes: 1, flushes: 1, attempts: 1, isHolding: false, isWaiting: false, leftOut: 0
  })
  t.strictSame(context.statements.map(({ kind }) => kind), ['read', 'begin', 'write', 'commit'])
  const [read, begin, write, end] = context.statements
  const [transaction] = context.transactions
  t.match(transaction, { number: begin!.transaction, database: 'default', sql: write!.sql, end: 'commit' })
  t.match(transaction!.line, line)
  t.equal(read!.transaction, undefined)
  t.match(write!.sql, /^insert into .book. \(.title..*\) values \(\?\)/)
  const marks = [0, read!.asked, transaction!.began, end!.asked, transaction!.ended!, context.firstByte!, context.closed!]
  t.strictSame(marks, marks.toSorted((a, b) => a - b), 'in this order')
  t.ok(context.heldMs > 0 && context.heldMs < context.duration)
  t.ok(Math.abs(context.began - Date.now()) < 60_000)
  t.notMatch(JSON.stringify(context), /Emma|secret/)

  const listed = await server.contexts()
  const { statements, calls, transactions, firstByte, closed, leftOut, ...summary } = context
  t.strictSame(listed, [summary])
})

onEachDatabase('values, messages and queries are shown if that is asked for', async (t, { orm }) => {
  const routes = (app: any): void => {
    app.post('/books', async () => { await em().insert(Book, { title: 'Emma' }) })
  }
  const hidden = await startInspected(t, orm, routes)
  await (await hidden.post('/books')).text()
  const failed = await hidden.contextOf(hidden.post('/books'))
  t.match(failed, { outcome: 'rolledBack', ending: 'error', status: 409, error: /^UniqueConstraintViolationException/ })
  t.match(failed.problems, [{ kind: 'failed', text: /rror \(\w+\): insert into/, line: /json\.test\.ts:\d+:\d+$/ }])
  t.notMatch(JSON.stringify(failed), 'Emma')

  const shown = await startInspected(t, orm, routes, { values: true })
  const same = await shown.contextOf(shown.post('/books'))
  t.match(same.error, /^UniqueConstraintViolationException: .*book.title/)
  t.ok(same.statements.some(({ kind, sql }) => kind === 'write' && sql.includes("'Emma'")))
  t.equal((await hidden.contexts()).length, 3, 'what others in the process do is listed as well')
})

onEachDatabase('what has used no database is not listed, and its own routes are no contexts', async (t, { orm }) => {
  const server = await startInspected(t, orm, app => {
    app.get('/none', async () => 'ok')
    app.get('/off', { config: { orm: false } }, async () => 'ok')
    app.get('/hijacked', async (_request, reply) => { reply.hijack(); reply.raw.end('ok') })
  })
  const none = await server.get('/none')
  await none.text()
  t.equal((await server.get('/off')).headers.has('x-orm-context'), false)
  t.equal(await (await server.get('/hijacked')).text(), 'ok')
  t.equal((await server.get('/nowhere')).status, 404)
  t.strictSame(await server.contexts(), [])
  const unknown = await server.get(none.headers.get('x-orm-context')!)
  t.equal(unknown.status, 404)
  t.match(await unknown.json(), { code: 'FST_ORM_INSPECTOR_UNKNOWN', message: /of the context \d+: it has used no database, or has ended too long ago/ })
  t.equal((await server.get('/_orm/contexts')).headers.has('x-orm-context'), false)
})

onEachDatabase('jobs, branches and transactions of their own are listed too', async (t, { orm }) => {
  const server = await startInspected(t, orm, () => {})
  await runInContext({ orm, name: 'restock' }, async () => {
    await em().count(Book)
    await runInContext({ name: 'inner' }, async () => { await em().count(Book) })
  })
  await runInContext({ orm, name: 'audit' }, async () => {
    await em().transactional(async inner => { await inner.insert(Book, { title: 'audited' }) }, { propagation: TransactionPropagation.REQUIRES_NEW })
  })
  await runInContext({ orm, name: 'by hand' }, async () => {
    await em().insert(Book, { title: 'one' })
    await commit()
    await em().insert(Book, { title: 'two' })
  })
  const [outer, inner, audit, byHand] = await server.contexts()
  t.match(outer, { kind: 'run', name: 'restock', outcome: 'committed', ending: 'return', reads: 1 })
  t.match(inner, { kind: 'branch', name: 'inner', reads: 1 })
  t.match(await (await server.get(`/_orm/contexts/${audit!.id}`)).json(), { transactions: [{ end: 'commit' }] })
  t.match(await (await server.get(`/_orm/contexts/${byHand!.id}`)).json(), { transactions: [{ end: 'commit' }, { end: 'commit' }] })
  t.match(await server.pools(), [{ database: 'default', held: 0, reading: 0, waiting: 0, holders: [] }])
})

onEachDatabase('a call while a transaction is held, and what is repeated, name their lines', async (t, { orm }) => {
  const { url: other, close } = await startOther(30)
  t.teardown(close)
  const nobody = `http://127.0.0.1:${await freePort()}/`
  let line = /never/
  const server = await startInspected(t, orm, app => {
    app.post('/call', async () => {
      await (await fetch(`${other}/before?key=secret`)).text()
      line = here(1)
      await em().insert(Book, { title: 'Emma' })
      await (await fetch(`${other}/during?key=secret`)).text()
      const [response] = await once(httpGet(`${other}/by-http`), 'response')
      response.resume()
      await once(response, 'end')
      await fetch(nobody).catch(() => {})
      await once(httpGet(nobody), 'error')
      return 'ok'
    })
    app.get('/repeated', async () => {
      line = here(1)
      for (let id = 1; id <= 7; id++) await em().findOne(Book, { id: -id })
      return 'ok'
    })
  })
  const calling = await server.post('/call')
  await calling.text()
  const called = await server.contextOf(calling)
  t.match(called.calls, [
    { method: 'GET', url: `${other}/before?…`, held: false, status: 203 },
    { method: 'GET', url: `${other}/during?…`, held: true, status: 203 },
    { method: 'GET', url: `${other}/by-http`, held: true, status: 203 },
    { method: 'GET', url: nobody, held: true, status: undefined },
    { method: 'GET', url: nobody, held: true, status: undefined }
  ])
  t.ok(called.calls.every(({ duration }) => duration! > 0))
  t.match(called.problems, [{ kind: 'call-while-held', text: /^A transaction held a connection during GET http.*\/during\?…, which took \d+ ms$/, line }])

  const repeating = await server.get('/repeated')
  await repeating.text()
  const repeated = await server.contextOf(repeating)
  t.match(repeated.problems, [{ kind: 'repeated', text: /^7 times: select/, line }])
  t.ok(repeated.statements.every(({ times }) => times === 7))
})

onEachDatabase('what fails after the end is told of', async (t, { orm }) => {
  const server = await startInspected(t, orm, app => {
    app.post('/', async () => {
      await em().insert(Book, { title: 'Emma' })
      afterCommit(() => { throw new TypeError('no') })
      return 'ok'
    })
  })
  const response = await server.post('/')
  await response.text()
  t.match((await server.contextOf(response)).problems, [{ kind: 'failed', text: /TypeError$/ }])
})

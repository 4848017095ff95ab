import { TransactionPropagation } from '@mikro-orm/core'
import { AsyncResource } from 'node:async_hooks'
import t from 'tap'
import { commit, context, em, runInContext, type ContextView, type StatementEvent } from '../../index.ts'
import { observe } from '../../lib/transaction/observed-statement.ts'
import { Book, onEachDatabase, onEachPool } from '../support/databases.ts'
import { collect } from '../support/events.ts'
import { withReplica } from '../support/replica-without-tables.ts'
import { startServer } from '../support/server.ts'
import { until } from '../support/until.ts'

/** Not inside of the present context. */
const outside = AsyncResource.bind((fn: () => Promise<unknown>): Promise<unknown> => fn())

/** What was sent, in short. */
function kinds (events: StatementEvent[]): string[] {
  return events.map(({ kind, sql }) => kind === 'savepoint' ? sql : kind)
}

onEachDatabase('each statement is told of: where it ran, what it did, and how long it took', async (t, { orm }) => {
  const statements = collect(t, 'fastify-context-orm:statement')
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      await em().find(Book, {})
      em().create(Book, { title: 'Emma' })
      await em().flush()
      await em().find(Book, { title: 'Emma' })
      await commit()
      await em().count(Book)
      return 'ok'
    })
  })
  const before = performance.now()
  await (await post('/')).text()
  t.strictSame(kinds(statements), ['read', 'begin', 'write', 'read', 'commit', 'read'])
  const [read, begin, write, , committed, last] = statements as StatementEvent[]
  t.match(read, { database: 'default', sql: /^select /, transaction: undefined, replica: false, sent: true, rows: 0, line: undefined, error: undefined })
  t.match(write, { sql: /^insert into .*Emma/, rows: 1 })
  t.type(begin!.transaction, 'number')
  t.strictSame(statements.slice(1, 5).map(({ transaction }) => transaction), Array(4).fill(begin!.transaction), 'what is in one transaction has its number')
  t.match(last, { transaction: undefined, rows: 1 })
  t.ok(read!.server.length > 0)
  t.match(read!.context, { kind: 'request', method: 'POST', route: '/', state: 'ended', reads: 3, writes: 1 })
  t.ok(statements.every(({ context }) => context === read!.context))
  let now = before
  for (const { started, duration, waited } of [read!, begin!, committed!, last!]) {
    t.ok(started - waited >= now - 1 && duration >= 0 && waited >= 0, 'one comes after the other')
    now = started + duration
  }
  t.ok(write!.duration > 0)
})

onEachDatabase('savepoints, rollbacks and transactions beside the context are told of', async (t, { orm, kind }) => {
  const statements = collect(t, 'fastify-context-orm:statement')
  await t.rejects(runInContext({ orm }, async () => {
    await em().transactional(async () => { await em().insert(Book, { title: 'Emma' }) })
    await em().transactional(async () => { throw new Error('no') }).catch(() => {})
    throw new Error('no')
  }), { message: 'no' })
  t.strictSame(kinds(statements), ['begin', 'savepoint', 'write', 'release savepoint', 'savepoint', 'rollback to savepoint', 'rollback'])
  if (kind === 'sqlite') return // it has one connection
  statements.length = 0
  await runInContext({ orm }, async () => {
    await em().insert(Book, { title: 'outer' })
    await em().transactional(inner => inner.insert(Book, { title: 'inner' }), { propagation: TransactionPropagation.REQUIRES_NEW })
  })
  t.strictSame(kinds(statements), ['begin', 'write', 'begin', 'write', 'commit', 'commit'])
  const [outer, , inner] = statements as StatementEvent[]
  t.not(outer!.transaction, inner!.transaction)
  t.strictSame(statements.map(({ transaction }) => transaction === outer!.transaction), [true, true, false, false, false, true])
})

onEachDatabase('what fails is told of with its error, and what was never sent says so', async (t, { orm }) => {
  const statements = collect(t, 'fastify-context-orm:statement')
  await runInContext({ orm }, async () => {
    await t.rejects((em() as any).execute('select no_such_column from book'))
    await t.rejects((em() as any).execute('commit'), { code: 'FST_ORM_TRANSACTION_COMMAND' })
  })
  t.match(statements, [
    { kind: 'read', sent: true, error: { message: /no_such_column/ }, rows: undefined },
    { kind: 'write', sql: 'commit', sent: false, duration: 0, error: { code: 'FST_ORM_TRANSACTION_COMMAND' } }
  ])
  t.equal(statements.length, 2)
})

onEachPool('a commit that is refused is told of with its error', async (t, { orm, kind }) => {
  if (kind === 'mariadb') return // it refuses none
  await (orm.em as any).execute('alter table book add constraint unique_stock unique (stock) deferrable initially deferred')
  const statements = collect(t, 'fastify-context-orm:statement')
  await t.rejects(runInContext({ orm }, async () => { await em().insertMany(Book, [{ title: 'Emma' }, { title: 'Persuasion' }]) }))
  t.strictSame(kinds(statements), ['begin', 'write', 'commit'])
  t.match(statements[2], { error: { message: /unique_stock/ } })
})

onEachDatabase('a stream is one statement, from its first row to its last', async (t, { orm }) => {
  await orm.em.fork().insertMany(Book, [{ title: 'Emma' }, { title: 'Persuasion' }])
  const statements = collect(t, 'fastify-context-orm:statement')
  const titles = async (): Promise<string[]> => {
    const all: string[] = []
    for await (const { title } of em().stream(Book, { orderBy: { title: 'asc' } })) all.push(title)
    return all
  }
  await runInContext({ orm }, async () => {
    t.strictSame(await titles(), ['Emma', 'Persuasion'])
    for await (const book of em().stream(Book, {})) if (book !== undefined) break
    t.strictSame(kinds(statements), ['read', 'read'])
    await em().insert(Book, { title: 'Sanditon' })
    t.strictSame(await titles(), ['Emma', 'Persuasion', 'Sanditon'])
    await t.rejects(async () => { for await (const row of (em() as any).stream('no_such_entity')) t.fail(row) })
    for await (const row of (em() as any).getKysely().selectFrom('no_such_table').selectAll().stream()) t.fail(row)
  }).catch(error => t.match(error.message, /no_such_table/))
  t.strictSame(kinds(statements), ['read', 'read', 'begin', 'write', 'read', 'read', 'rollback'])
  const [first, , begin, , third, failed] = statements as StatementEvent[]
  t.match(first, { sent: true, transaction: undefined, rows: undefined, error: undefined })
  t.match(third, { transaction: begin!.transaction, sent: true, error: undefined })
  t.match(failed, { error: { message: /no_such_table/ } })
})

onEachPool('who waits for a connection says how long, and for what was in vain why', async (t, { another }) => {
  const small = await another({ pool: { min: 0, max: 1 } })
  const statements = collect(t, 'fastify-context-orm:statement')
  const begun = Promise.withResolvers<void>()
  const go = Promise.withResolvers<void>()
  const holder = runInContext({ orm: small, name: 'holder' }, async () => {
    await em().insert(Book, { title: 'Emma' })
    begun.resolve()
    await go.promise
  })
  await begun.promise
  const [{ context: holding }] = statements as [StatementEvent]
  t.match(holding, { name: 'holder', state: 'held', isHolding: true, isWaiting: false })
  const settled = collect(t, 'fastify-context-orm:settled')
  const waiter = runInContext({ orm: small, name: 'waiter' }, async () => {
    const reading = em().count(Book)
    await new Promise(resolve => setImmediate(resolve))
    const view = context()
    t.match(view, { state: 'reading', isWaiting: true, isHolding: false })
    const { waitedMs } = view
    await until(() => view.waitedMs > waitedMs + 20)
    go.resolve()
    await reading
    t.match(view, { state: 'idle', isWaiting: false })
  })
  await Promise.all([holder, waiter])
  const read = statements.find(({ kind }) => kind === 'read')!
  t.ok(read.waited > 20)
  const { waited } = settled.find(({ name }) => name === 'waiter')!
  t.ok(waited > 20 && waited <= read.waited)
  t.ok(settled.find(({ name }) => name === 'holder')!.waited < waited)
})

onEachPool('what nobody wants any more when its connection comes is never sent', async (t, { another }) => {
  const orm = await another({ pool: { min: 0, max: 1 } })
  const statements = collect(t, 'fastify-context-orm:statement')
  const abort = new AbortController()
  let left: Promise<unknown> | undefined
  await runInContext({ orm }, async () => {
    await em().insert(Book, { title: 'Emma' })
    const asking = Promise.withResolvers<ContextView>()
    left = outside(() => runInContext({ orm, signal: abort.signal }, async () => {
      asking.resolve(context())
      await em().insert(Book, { title: 'Persuasion' })
    }))
    const view = await asking.promise
    await until(() => view.isWaiting)
    t.match(view, { state: 'idle', isHolding: false })
    abort.abort(new Error('no'))
    await t.rejects(left, { message: 'no' })
    statements.length = 0
  })
  await until(() => statements.length === 3)
  t.match(statements, [{ kind: 'commit', sent: true }, ...['begin', 'write'].map(kind => ({ kind, sent: false, error: { code: 'FST_ORM_CONTEXT_ENDED' } }))])
})

onEachPool('statements say which server they ran on', async (t, database) => {
  const orm = await withReplica(database)
  const statements = collect(t, 'fastify-context-orm:statement')
  await runInContext({ orm }, async () => {
    await em().count(Book).catch(() => {})
    await em().insert(Book, { title: 'Emma' })
  })
  await runInContext({ orm, readOnly: true }, () => em().count(Book)).catch(() => {})
  t.strictSame(statements.map(({ kind, replica }) => [kind, replica]), [
    ['read', true], ['begin', false], ['write', false], ['commit', false], ['begin', true], ['read', true], ['rollback', true]
  ])
  const servers = new Set(statements.map(({ server, replica }) => `${server} ${replica}`))
  t.equal(servers.size, 2)
})

t.test('nothing is made while nobody has subscribed', async t => {
  t.equal(observe({} as any, 'read', 'select 1'), undefined)
})

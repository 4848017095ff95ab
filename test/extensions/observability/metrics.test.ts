import { afterCommit, context, contexts, em, runInContext } from '../../../index.ts'
import { Book, onEachDatabase, onEachPool } from '../../support/databases.ts'
import { until } from '../../support/until.ts'
import { startObserved, type Point } from './observed-server.ts'

const SYSTEMS: Record<string, string> = { sqlite: 'sqlite', postgresql: 'postgresql', mariadb: 'mariadb' }

/** How often each operation was measured. */
function counts (points: Point[]): Record<string, number> {
  return Object.fromEntries(points.map(({ attributes, value }) => [String(attributes['db.operation.name']), value]))
}

onEachDatabase('what statements take is measured by the names of the semantic conventions', async (t, { orm, kind }) => {
  const { post, points, units } = await startObserved(t, orm, {}, app => {
    app.post('/books/:id', async () => {
      await em().count(Book)
      await em().insert(Book, { title: 'Emma' })
      await em().transactional(inner => inner.nativeUpdate(Book, { title: 'Emma' }, { stock: 1 }))
      await (em() as any).execute('/* a "comment" */ -- not this\n select 1').catch(() => {})
      await (em() as any).execute('/* a comment */ select 1')
      return 'ok'
    })
    app.post('/fails', async () => await (em() as any).execute('select no_such_column from book'))
  })
  for (const id of [1, 2]) {
    await post(`/books/${id}`)
    await (orm.em.fork() as any).execute('delete from book')
  }
  await post('/fails')
  const operations = await points('db.client.operation.duration')
  const right = operations.filter(({ attributes }) => attributes['error.type'] === undefined)
  t.match(counts(right), { BEGIN: 2, INSERT: 2, UPDATE: 2, COMMIT: 2, SAVEPOINT: 2, RELEASE: 2 })
  t.ok(right.every(({ sum, attributes }) => sum! >= 0 && sum! < 60 && attributes['db.system.name'] === SYSTEMS[kind]))
  t.ok(right.every(({ attributes }) => attributes['db.namespace'] === orm.config.get('dbName')))
  t.match(operations.filter(({ attributes }) => attributes['error.type'] !== undefined), [{ attributes: { 'db.operation.name': 'SELECT' }, value: 1 }])
  const names = await units()
  t.match(names, { 'db.client.operation.duration': 's', 'db.client.connection.use_time': 's', 'db.client.connection.wait_time': 's', 'db.client.connection.pending_requests': '{request}' })
  t.match(names, { 'fastify_context_orm.context.duration': 's', 'fastify_context_orm.context.held': 's', 'fastify_context_orm.context.waited': 's' })
})

onEachDatabase('contexts are counted by their outcome, under few names', async (t, { orm }) => {
  const { post, points } = await startObserved(t, orm, { names: ['nightly'] }, app => {
    app.post('/books/:id', async request => {
      afterCommit(() => { throw new Error('no') })
      em().create(Book, { title: (request.params as any).id })
      return 'ok'
    })
  })
  await post('/books/1')
  await post('/books/2')
  await runInContext({ orm, name: 'nightly' }, () => em().count(Book))
  await t.rejects(runInContext({ orm, name: 'job 17' }, async () => {
    await em().count(Book)
    throw new Error('no')
  }))
  const series = (await points('fastify_context_orm.context.duration')).map(({ attributes, value }) =>
    [...['kind', 'context', 'database', 'outcome', 'ending'].map(name => attributes[`fastify_context_orm.${name}`]), value])
  t.strictSame(series, [
    ['request', 'POST /books/:id', 'default', 'committed', 'reply', 2],
    ['run', 'nightly', 'default', 'committed', 'return', 1],
    ['run', '(other)', 'default', 'rolledBack', 'throw', 1]
  ])
  const held = await points('fastify_context_orm.context.held')
  t.match(held, [{ value: 2 }], 'only what has begun')
  t.match(await points('fastify_context_orm.transactions'), [{ value: 2, attributes: { 'fastify_context_orm.context': 'POST /books/:id' } }])
  t.match(await points('fastify_context_orm.failures'), [{ value: 2 }])
  const [used] = await points('db.client.connection.use_time')
  t.match(used!.attributes, { 'db.client.connection.pool.name': 'default' })
  t.equal(used!.value, 4, 'two transactions, and two reads')
})

onEachPool('a starved pool is seen while it is starved, and so is who has taken the connection', async (t, { another }) => {
  const orm = await another({ pool: { min: 0, max: 1 } })
  const { points } = await startObserved(t, orm, {}, () => {})
  const begun = Promise.withResolvers<void>()
  const go = Promise.withResolvers<void>()
  const holder = runInContext({ orm, name: 'holder' }, async () => {
    await em().insert(Book, { title: 'Emma' })
    begun.resolve()
    await go.promise
  })
  await begun.promise
  t.match(await points('db.client.connection.pending_requests'), [{ value: 0, attributes: { 'db.client.connection.pool.name': 'default' } }])
  const waiter = runInContext({ orm, name: 'waiter', retry: 2 }, () => em().count(Book))
  await until(() => contexts().some(({ isWaiting }) => isWaiting))
  t.match(await points('db.client.connection.pending_requests'), [{ value: 1 }])
  t.strictSame(contexts().map(({ name, isHolding, isWaiting }) => [name, isHolding, isWaiting]), [['holder', true, false], ['waiter', false, true]])
  const { waitedMs } = contexts()[1]!
  await until(() => contexts()[1]!.waitedMs > waitedMs + 50)
  go.resolve()
  await Promise.all([holder, waiter])
  t.match(await points('db.client.connection.pending_requests'), [{ value: 0 }])
  const [waited] = await points('db.client.connection.wait_time')
  t.ok(waited!.sum! > 0.05 && waited!.sum! < 60, 'in seconds')
  const [used] = await points('db.client.connection.use_time')
  t.ok(used!.sum! > 0.05, 'the holder had it for as long')
  t.strictSame(contexts(), [])
})

onEachDatabase('contexts() has those that use a database, and the views that context() gives', async (t, { orm }) => {
  t.strictSame(contexts(), [])
  await runInContext({ orm, name: 'outer' }, async () => {
    t.strictSame(contexts(), [], 'it has used none')
    await em().count(Book)
    t.equal(contexts()[0], context())
    await runInContext({ name: 'inner' }, async () => {
      await em().count(Book)
      t.strictSame(contexts().map(({ name }) => name), ['outer', 'inner'])
    })
  })
  t.strictSame(contexts(), [])
})

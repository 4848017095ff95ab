import { TransactionPropagation } from '@mikro-orm/core'
import type { Kysely } from '@mikro-orm/sql'
import { afterCommit, afterRollback, beforeCommit, commit, context, em, runInContext, type ContextView } from '../../index.ts'
import { Book, onEachDatabase, onEachPool } from '../support/databases.ts'
import { collect } from '../support/events.ts'
import { startServer } from '../support/server.ts'

onEachDatabase('context() says what the current one is and does, and goes on to say so', async (t, { orm }) => {
  const views: ContextView[] = []
  const { post } = await startServer(t, { orm }, app => {
    app.post('/books/:id', async () => {
      const view = context()
      views.push(view)
      t.match(view, { kind: 'request', method: 'POST', route: '/books/:id', name: undefined, requestId: 'req-1', state: 'idle', reads: 0, writes: 0, attempts: 1 })
      t.equal(view.heldMs + view.waitedMs, 0)
      const kysely = em().getTransactionContext<Kysely<any>>()!
      const reading = kysely.executeQuery(kysely.selectFrom('book').selectAll().compile())
      t.match(view, { state: 'reading', isHolding: false, reads: 1 })
      await reading
      t.match(view, { state: 'idle' })
      await em().insert(Book, { title: 'Emma' })
      t.match(view, { state: 'held', isHolding: true, writes: 1 })
      const { heldMs } = view
      await em().count(Book)
      t.ok(view.heldMs > heldMs, 'it grows while the transaction lasts')
      beforeCommit(() => t.match(view, { state: 'settling', isHolding: true }))
      afterCommit(() => t.match(view, { state: 'idle', isHolding: false }))
      await commit()
      t.match(view, { state: 'idle', isHolding: false })
      afterCommit(() => t.match(view, { state: 'settling', isHolding: false }))
      t.equal(context(), view)
      t.match(JSON.parse(JSON.stringify(view)), { kind: 'request', id: view.id, route: '/books/:id', state: 'idle', isHolding: false, isWaiting: false, reads: 2, writes: 1, heldMs: view.heldMs })
      return 'ok'
    })
  })
  await (await post('/books/7')).text()
  const [view] = views as [ContextView]
  t.match(view, { state: 'ended', isHolding: false, isWaiting: false, reads: 2, writes: 1 })
  t.ok(view.heldMs > 0 && view.waitedMs > 0)
})

onEachDatabase('each context has an id of its own, which events have as well', async (t, { orm }) => {
  const settled = collect(t, 'fastify-context-orm:settled')
  const ids: number[] = []
  await runInContext({ orm, name: 'outer' }, async () => {
    ids.push(context().id)
    await em().count(Book)
    await runInContext({ name: 'inner' }, async () => {
      t.match(context(), { kind: 'branch', name: 'inner' })
      ids.push(context().id)
      await em().count(Book)
    })
    t.match(context(), { kind: 'run', name: 'outer', id: ids[0] })
  })
  t.equal(new Set(ids).size, 2)
  t.strictSame(settled.map(({ id }) => id), ids.reverse())
})

onEachDatabase('a context that rolls back is ended when its hooks have run', async (t, { orm }) => {
  let view: ContextView | undefined
  await t.rejects(runInContext({ orm }, async () => {
    view = context()
    await em().insert(Book, { title: 'Emma' })
    afterRollback(() => t.match(view, { state: 'settling', isHolding: false }))
    throw new Error('no')
  }), { message: 'no' })
  t.match(view, { state: 'ended', writes: 1 })
})

onEachDatabase('an attempt says which one it is', async (t, { orm }) => {
  const views: ContextView[] = []
  await runInContext({ orm, retry: { attempts: 2, when: () => true } }, async () => {
    views.push(context())
    if (views.length === 1) throw new Error('again')
  })
  t.match(views, [{ attempts: 1, state: 'ended' }, { attempts: 2, state: 'ended' }])
})

onEachDatabase('outside of contexts there is none to look at', async (t, { orm }) => {
  t.throws(() => context(), { code: 'FST_ORM_NO_CONTEXT', message: /^context\(\) outside a context/ })
  const { failure, get } = await startServer(t, { orm }, app => {
    app.get('/', { config: { orm: false } }, async () => context())
  })
  t.match(await failure(get('/')), { code: 'FST_ORM_NO_CONTEXT', message: /GET \/ opted out/ })
})

onEachPool('with several databases, numbers are sums, and one that is held is what counts', async (t, { orm: main, another }) => {
  const audit = await another({ contextName: 'audit' })
  await runInContext({ orm: [main, audit] }, async () => {
    const view = context()
    await em().insert(Book, { title: 'Emma' })
    await em('audit').count(Book)
    t.match(view, { state: 'held', reads: 1, writes: 1 })
    await em('audit').insert(Book, { title: 'Persuasion' })
    t.match(view, { state: 'held', reads: 1, writes: 2 })
  })
})

onEachPool('a transaction beside that of the context is held by it as well', async (t, { orm }) => {
  await runInContext({ orm }, async () => {
    const view = context()
    await em().transactional(async inner => {
      await inner.count(Book)
      t.match(view, { state: 'held', isHolding: true })
    }, { propagation: TransactionPropagation.REQUIRES_NEW })
    t.match(view, { state: 'idle', isHolding: false })
  })
})

onEachPool('a stream is read until its end', async (t, { orm }) => {
  await orm.em.fork().insertMany(Book, [{ title: 'Emma' }, { title: 'Persuasion' }])
  await runInContext({ orm }, async () => {
    for await (const book of em().stream(Book, {})) t.match(context(), { state: 'reading' }, (book as any).title)
    t.match(context(), { state: 'idle' })
  })
})

import { TransactionPropagation } from '@mikro-orm/core'
import { mock } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { context, em, runInContext } from '../../index.ts'
import { Book, onEachDatabase, onEachPool, onSqlite } from '../support/databases.ts'
import { havingLittlePatience } from '../support/little-patience.ts'
import { startServer } from '../support/server.ts'
import { until } from '../support/until.ts'

onSqlite('on SQLite, a context inside one that holds the connection fails at once, and says why', async (t, { orm, titles }) => {
  const attempts: Record<string, () => Promise<unknown>> = {
    write: () => runInContext(() => em().insert(Book, { title: 'inner' })),
    read: () => runInContext({ name: 'report' }, () => em().count(Book)),
    flush: () => runInContext(() => { em().create(Book, { title: 'inner' }) }),
    deeper: () => runInContext(() => runInContext(() => em().count(Book))),
    'with orm': () => runInContext({ orm }, () => em().count(Book)),
    requires_new: () => em().transactional(inner => inner.insert(Book, { title: 'inner' }), { propagation: TransactionPropagation.REQUIRES_NEW }),
    not_supported: () => em().transactional(inner => inner.insert(Book, { title: 'inner' }), { propagation: TransactionPropagation.NOT_SUPPORTED }),
    'nested requires_new': () => em().transactional(inner => inner.transactional(own => own.count(Book), { propagation: TransactionPropagation.REQUIRES_NEW })),
    'requires_new of orm.em': () => em().transactional(() => orm.em.transactional(own => own.count(Book), { propagation: TransactionPropagation.REQUIRES_NEW }))
  }
  const { post } = await startServer(t, { orm }, app => {
    app.post('/orders/:id', async () => {
      await em().insert(Book, { title: 'outer' })
      const messages: Record<string, string> = {}
      for (const [name, attempt] of Object.entries(attempts)) {
        messages[name] = await attempt().then(() => 'no error', error => `${error.code}: ${error.message}`)
      }
      return messages
    })
  })
  const messages = await (await post('/orders/7')).json() as Record<string, string>
  for (const name of Object.keys(attempts)) {
    t.match(messages[name], /^FST_ORM_SINGLE_CONNECTION: .* is held by the transaction of POST \/orders\/:id, around it/, name)
  }
  t.match(messages.read, /: report needs a connection/)
  t.strictSame(await titles(), ['outer'], 'and the outer one goes on')
})

onSqlite('on SQLite, an inner context before the first write, and after a commit, is fine', async (t, { orm, titles }) => {
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      await em().count(Book)
      await runInContext(() => em().insert(Book, { title: 'before' }))
      await em().insert(Book, { title: 'outer' })
      await em().commit()
      await runInContext(() => em().insert(Book, { title: 'after' }))
      await em().transactional(own => own.insert(Book, { title: 'own' }), { propagation: TransactionPropagation.REQUIRES_NEW })
      return 'ok'
    })
  })
  t.equal((await post('/')).status, 200)
  t.strictSame(await titles(), ['after', 'before', 'outer', 'own'])
})

onSqlite('on SQLite, what an own transaction holds is not waited for from inside it', async (t, { orm, titles }) => {
  await runInContext({ orm, name: 'job' }, async () => {
    const outer = em()
    await outer.transactional(async own => {
      await own.insert(Book, { title: 'own' })
      await t.rejects(runInContext(() => em().count(Book)), { code: 'FST_ORM_SINGLE_CONNECTION' })
      await t.rejects(own.transactional(other => other.count(Book), { propagation: TransactionPropagation.REQUIRES_NEW }), { code: 'FST_ORM_SINGLE_CONNECTION' })
    }, { propagation: TransactionPropagation.REQUIRES_NEW })
  })
  t.strictSame(await titles(), ['own'])
})

onEachDatabase('on a pool, contexts inside contexts are no matter as long as a connection is free', async (t, { another, kind, titles }) => {
  const orm = await another({ pool: { min: 0, max: 3 } })
  const depth = async (n: number): Promise<void> => await runInContext({ orm }, async () => {
    if (kind === 'postgresql') await em().insert(Book, { title: `depth ${n}` })
    if (n > 0) await depth(n - 1)
    await em().upsert(Book, { title: `depth ${n}` })
  })
  await depth(2)
  t.equal((await titles()).length, 3)
})

/** Ten requests that each hold a connection while they ask for another one, on a pool of two. */
for (const [how, ask] of Object.entries({
  'runInContext() that writes': () => runInContext({ name: 'audit' }, () => em().insert(Book, { title: `inner ${Math.random()}` })),
  'runInContext() that reads': () => runInContext({ name: 'audit' }, () => em().count(Book)),
  REQUIRES_NEW: () => em().transactional(own => own.count(Book), { propagation: TransactionPropagation.REQUIRES_NEW })
})) {
  onEachPool(`a pool that is starved by ${how} is never a hang: one fails, the others go on, and then it does not happen again`, async (t, { another, taken }) => {
    havingLittlePatience(t)
    const orm = await another({ pool: { min: 0, max: 2 } })
    const both = Promise.withResolvers<void>()
    let holding = 0
    const { post, failure } = await startServer(t, { orm }, app => {
      app.post('/order/:id', async request => {
        await em().insert(Book, { title: `outer ${(request.params as any).id}` })
        if (++holding === 2) both.resolve()
        await both.promise
        await ask()
        return 'ok'
      })
    })
    const replies = await Promise.all(Array.from({ length: 10 }, (_, id) => post(`/order/${id}`)))
    const failed = replies.filter(reply => reply.status !== 200)
    t.equal(failed.length, 1)
    t.match(await failure(Promise.resolve(failed[0]!)), {
      code: 'FST_ORM_POOL_STARVED',
      message: /^(audit|POST \/order\/:id) needs a second connection while POST \/order\/:id, around it, holds one, and none of the pool's 2 has become free in [\d.]+ s/
    })
    const again = await Promise.all(Array.from({ length: 10 }, (_, id) => post(`/order/1${id}`)))
    t.strictSame(again.map(reply => reply.status), Array(10).fill(200))
    await until(() => taken() === 0)
    t.equal(await orm.em.fork().count(Book, { title: { $like: 'outer%' } }), 19)
  })
}

onEachPool('an inner context that nobody waits for does not fail while the outer one is about to end', async (t, { another, titles }) => {
  const orm = await another({ pool: { min: 0, max: 1 } })
  const background: Promise<unknown>[] = []
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      await em().insert(Book, { title: 'outer' })
      background.push(runInContext(() => em().insert(Book, { title: 'background' })))
      return 'ok'
    })
  })
  t.equal((await post('/')).status, 200)
  await Promise.all(background)
  t.strictSame(await titles(), ['background', 'outer'])
})

onEachPool('a wait for what somebody unknown holds ends after 30 s', async (t, { another, taken }) => {
  const orm = await another({ pool: { min: 0, max: 2 } })
  const asked = Promise.withResolvers<void>()
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => mock.timers.reset())
  await orm.em.fork().transactional(async unknown => {
    await unknown.execute('select 1')
    const running = runInContext({ orm, name: 'outer' }, async () => {
      await em().insert(Book, { title: 'outer' })
      const inner = runInContext({ name: 'inner' }, () => {
        asked.resolve()
        return em().insert(Book, { title: 'inner' }).catch(error => {
          t.equal(context().isWaiting, false)
          throw error
        })
      })
      await inner
    })
    await asked.promise
    await turn() // the query is on its way
    mock.timers.tick(29_000)
    await turn()
    t.equal(taken(), 2)
    mock.timers.tick(1000)
    await t.rejects(running, { code: 'FST_ORM_POOL_STARVED', message: /^inner needs a second connection while outer, around it, holds one, .* in 30 s/ })
  })
  await until(() => taken() === 0)
  t.equal(await runInContext({ orm }, () => em().count(Book)), 0)
})

onEachPool('a context that streams rows and waits for a connection to write can starve the pool by itself', async (t, { another, taken }) => {
  havingLittlePatience(t)
  const orm = await another({ pool: { min: 0, max: 1 } })
  await runInContext({ orm }, () => em().insertMany(Book, [{ title: 'a' }, { title: 'b' }]))
  await t.rejects(runInContext({ orm, name: 'export' }, async () => {
    for await (const book of (em() as any).stream(Book)) await em().insert(Book, { title: `${book.title} again` })
  }), { code: 'FST_ORM_POOL_STARVED', message: /^export needs a second connection while export, around it/ })
  await until(() => taken() === 0)
})

onEachPool('a chain that is deeper than the pool fails, and does no harm to others', async (t, { another, taken }) => {
  havingLittlePatience(t)
  const orm = await another({ pool: { min: 0, max: 2 } })
  const chain = async (depth: number): Promise<void> => await runInContext({ orm }, async () => {
    await em().insert(Book, { title: `${depth} ${Math.random()}` })
    if (depth > 1) await chain(depth - 1)
  })
  await t.rejects(chain(3), { code: 'FST_ORM_POOL_STARVED' })
  await until(() => taken() === 0)
  for (let i = 0; i < 3; i++) await t.resolves(chain(2))
  await Promise.all([1, 2, 3, 4].map(() => chain(1)))
  t.equal(taken(), 0)
})

onSqlite('on SQLite, the EntityManager of the context around is not waited for from inside either', async (t, { orm, titles }) => {
  const { get } = await startServer(t, { orm }, app => {
    app.get('/', async request => {
      const outer = request.em
      await runInContext({ name: 'branch' }, async () => {
        await em().insert(Book, { title: 'inner' })
        await t.rejects(outer.insert(Book, { title: 'outer' }), { code: 'FST_ORM_SINGLE_CONNECTION', message: /held by the transaction of branch/ })
      })
      return 'ok'
    })
  })
  t.equal((await get('/')).status, 200)
  t.strictSame(await titles(), ['inner'])
})

onEachPool('the EntityManager of a branch can be used from outside of it', async (t, { orm, titles, taken }) => {
  await runInContext({ orm }, async () => {
    await em().insert(Book, { title: 'outer' })
    const inner = Promise.withResolvers<ReturnType<typeof em>>()
    const go = Promise.withResolvers<void>()
    const branch = runInContext(async () => {
      inner.resolve(em())
      await go.promise
    })
    await (await inner.promise).insert(Book, { title: 'branch' })
    go.resolve()
    await branch
  })
  t.strictSame(await titles(), ['branch', 'outer'])
  t.equal(taken(), 0)
})

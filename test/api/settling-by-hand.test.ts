import { setImmediate } from 'node:timers/promises'
import { commit, em, rollback, runInContext } from '../../index.ts'
import { Book, onEachDatabase, onEachPool } from '../support/databases.ts'
import { delayCommits, isCommitting } from '../support/delayed-commits.ts'
import { untilOne } from '../support/server-connections.ts'
import { startServer } from '../support/server.ts'

onEachDatabase('em.begin() and em.commit() act on the transaction of the context', async (t, { orm, titles, sent, taken }) => {
  const { post } = await startServer(t, { orm }, app => {
    for (const [path, get] of [['/em', () => em()], ['/global', () => orm.em]] as const) {
      app.post(path, async () => {
        await em().insert(Book, { title: `${path} before` })
        await get().begin()
        em().create(Book, { title: `${path} flushed by commit` })
        await get().commit()
        t.strictSame((await titles()).length, 2, 'committed now')
        t.equal(taken(), 0)
        em().create(Book, { title: `${path} lost` })
        await em().flush()
        throw new Error('no')
      })
    }
  })
  for (const path of ['/em', '/global']) {
    t.equal((await post(path)).status, 500)
    t.strictSame(await titles(), [`${path} before`, `${path} flushed by commit`])
    t.equal(sent.filter(sql => sql === 'begin').length, 2)
    await orm.em.fork().nativeDelete(Book, {})
    sent.length = 0
  }
})

onEachDatabase('em.rollback() leaves a clean EntityManager to go on with', async (t, { orm, titles, sent, taken }) => {
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      await em().begin({ isolationLevel: 'serializable' as any })
      await em().insert(Book, { title: 'rolled back' })
      em().create(Book, { title: 'pending' })
      await em().rollback()
      t.equal(taken(), 0)
      t.strictSame([...em().getUnitOfWork().getPersistStack()], [])
      em().create(Book, { title: 'kept' })
      return { ok: true }
    })
    app.post('/nothing-begun', async () => {
      await em().commit()
      await em().rollback()
      return 'ok'
    })
    app.post('/late-isolation', async () => {
      await em().insert(Book, { title: 'Emma' })
      await em().begin({ isolationLevel: 'serializable' as any })
    })
    app.post('/late-read-only', async () => {
      await em().begin()
      await em().begin() // has begun already, and so has nothing to do
      await em().begin({ readOnly: true })
    })
  })
  t.equal((await post('/')).status, 200)
  t.strictSame(await titles(), ['kept'])
  sent.length = 0
  t.equal((await post('/nothing-begun')).status, 200)
  t.strictSame(sent, [])
  t.match(await (await post('/late-isolation')).json(), { code: 'FST_ORM_TRANSACTION_OPEN', message: "POST /late-isolation has a transaction open: isolationLevel 'serializable' cannot be had any more" })
  t.match(await (await post('/late-read-only')).json(), { code: 'FST_ORM_TRANSACTION_OPEN', message: /readOnly cannot be had any more/ })
})

onEachDatabase('em.begin({ ctx }) makes a savepoint by hand', async (t, { orm, titles }) => {
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      await em().insert(Book, { title: 'outer' })
      await em().begin({ ctx: em().getTransactionContext() })
      await em().insert(Book, { title: 'released' })
      await em().commit()
      await em().begin({ ctx: em().getTransactionContext() })
      await em().insert(Book, { title: 'rolled back' })
      await em().rollback()
      await em().insert(Book, { title: 'outer too' })
      return 'ok'
    })
  })
  t.equal((await post('/')).status, 200)
  t.strictSame(await titles(), ['outer', 'outer too', 'released'])
})

onEachDatabase('a transaction that has failed can be rolled back by hand', async (t, { orm, titles }) => {
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      await em().insert(Book, { title: 'Emma' })
      await em().insert(Book, { title: 'Emma' }).catch(() => em().rollback())
      await em().insert(Book, { title: 'Persuasion' })
      return 'ok'
    })
  })
  t.equal((await post('/')).status, 200)
  t.strictSame(await titles(), ['Persuasion'])
})

onEachDatabase('commit() flushes and commits now, and the next write begins a new transaction', async (t, { orm, titles, sent, taken }) => {
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      await commit() // nothing to commit yet
      em().create(Book, { title: 'kept' })
      await commit()
      t.strictSame(await titles(), ['kept'])
      t.equal(taken(), 0)
      em().create(Book, { title: 'lost' })
      await em().flush()
      throw new Error('no')
    })
  })
  t.equal((await post('/')).status, 500)
  t.strictSame(await titles(), ['kept'])
  t.strictSame(sent.filter(sql => /^(begin|commit|rollback)$/.test(sql)), ['begin', 'commit', 'begin', 'rollback'])
})

onEachDatabase('rollback() drops what is flushed and what is pending, and goes on', async (t, { orm, titles, taken }) => {
  await runInContext({ orm }, async () => {
    await rollback() // nothing to roll back yet
    await em().insert(Book, { title: 'flushed' })
    em().create(Book, { title: 'pending' })
    await rollback()
    t.equal(taken(), 0)
    t.strictSame([...em().getUnitOfWork().getPersistStack()], [])
    em().create(Book, { title: 'kept' })
  })
  t.strictSame(await titles(), ['kept'])
})

onEachDatabase('a commit() that fails has rolled back, and the context can go on', async (t, { orm, titles }) => {
  await runInContext({ orm }, async () => {
    await em().insert(Book, { title: 'Emma' })
    em().create(Book, { title: 'Emma' })
    await t.rejects(commit(), { name: 'UniqueConstraintViolationException' })
    t.strictSame([...em().getUnitOfWork().getPersistStack()], [])
    em().create(Book, { title: 'Persuasion' })
  })
  t.strictSame(await titles(), ['Persuasion'])
})

onEachDatabase('two commit() at once are one, and one after the end is refused', async (t, { orm, titles, sent }) => {
  let late: Promise<unknown>[] = []
  const go = Promise.withResolvers<void>()
  await runInContext({ orm, name: 'job' }, async () => {
    em().create(Book, { title: 'Emma' })
    await Promise.all([commit(), commit()])
    late = [commit, rollback].map(settle => go.promise.then<unknown>(() => settle()).catch(error => error))
  })
  go.resolve()
  for (const error of await Promise.all(late)) t.match(error, { code: 'FST_ORM_CONTEXT_ENDED', message: /^job has ended \(committed\), which is too late for this: (commit|rollback)\(\)/ })
  t.strictSame(await titles(), ['Emma'])
  t.equal(sent.filter(sql => sql === 'commit').length, 1)
  await t.rejects(commit(), { code: 'FST_ORM_NO_CONTEXT', message: /^commit\(\) outside a context/ })
  await t.rejects(rollback(), { code: 'FST_ORM_NO_CONTEXT', message: /^rollback\(\) outside a context/ })
})

onEachDatabase('rollback() of what an abort has rolled back already does nothing', async (t, { orm, titles }) => {
  const controller = new AbortController()
  const rolledBack = Promise.withResolvers<void>()
  await t.rejects(runInContext({ orm, signal: controller.signal }, async () => {
    try {
      await em().insert(Book, { title: 'Emma' })
      controller.abort()
      await em().insert(Book, { title: 'late' })
    } catch {
      await rollback()
      rolledBack.resolve()
    }
  }), { name: 'AbortError' })
  await rolledBack.promise
  t.strictSame(await titles(), [])
})

onEachDatabase('with transaction: false, commit() flushes, and rollback() drops what is pending', async (t, { orm, titles }) => {
  await runInContext({ orm, transaction: false }, async () => {
    em().create(Book, { title: 'Emma' })
    await commit()
    t.strictSame(await titles(), ['Emma'])
    em().create(Book, { title: 'pending' })
    await rollback()
  })
  t.strictSame(await titles(), ['Emma'])
})

onEachDatabase('a hijacked reply is committed by hand', async (t, { orm, titles, taken }) => {
  const { get, log } = await startServer(t, { orm }, app => {
    app.get('/', async (_request, reply) => {
      reply.hijack()
      em().create(Book, { title: 'kept' })
      await commit()
      em().create(Book, { title: 'never flushed' })
      reply.raw.end('done')
    })
  })
  t.equal(await (await get('/')).text(), 'done')
  t.strictSame(await titles(), ['kept'])
  t.equal(taken(), 0)
  t.strictSame(log, [])
})

onEachDatabase('em.transactional() inside a transaction that was begun by hand is part of it', async (t, { orm, titles, taken }) => {
  await runInContext({ orm, transaction: false }, async () => {
    const manager = em()
    await manager.begin()
    await manager.insert(Book, { title: 'a' })
    await manager.transactional(inner => inner.insert(Book, { title: 'b' }))
    await manager.rollback()
  })
  t.strictSame(await titles(), [])
  await runInContext({ orm }, async () => {
    const manager = em()
    await manager.insert(Book, { title: 'outer' })
    await manager.begin({ ctx: manager.getTransactionContext() })
    await manager.transactional(inner => inner.insert(Book, { title: 'inner' }))
    await manager.rollback()
  })
  t.strictSame(await titles(), ['outer'])
  t.equal(taken(), 0)
})

onEachDatabase('a statement that came before a commit by hand is in it, or in the next one, whenever that comes', async (t, { orm, titles }) => {
  const expected: string[] = []
  for (let promises = 0; promises < 60; promises++) {
    const title = `after ${String(promises).padStart(2, '0')}`
    expected.push(title)
    await runInContext({ orm }, async () => {
      const inserted = em().insert(Book, { title })
      for (let i = 0; i < promises; i++) await undefined
      await Promise.all([inserted, em().commit()])
    })
  }
  t.strictSame(await titles(), expected)
})

onEachDatabase('what is sent while a commit is on its way is in its transaction or in the next one', async (t, { orm, titles }) => {
  const insert = (title: string): Promise<unknown> => em().insert(Book, { title })
  await runInContext({ orm }, async () => {
    await insert('a')
    await Promise.all([insert('b'), commit(), insert('c'), em().find(Book, {}), insert('d'), em().transactional(() => insert('e')), setImmediate().then(() => insert('f'))])
  })
  t.strictSame(await titles(), ['a', 'b', 'c', 'd', 'e', 'f'])
})

onEachPool('what comes while the database commits waits for that, also a flush', async (t, database) => {
  const { orm, titles } = database
  const release = await delayCommits(database, 'kept')
  await runInContext({ orm }, async () => {
    await em().insert(Book, { title: 'kept' })
    const committed = commit()
    await untilOne(database, isCommitting)
    em().create(Book, { title: 'flushed' })
    const after = Promise.all([em().flush(), em().insert(Book, { title: 'inserted' }), em().count(Book)])
    await release()
    await committed
    t.ok((await titles()).includes('kept'))
    await after
  })
  t.strictSame(await titles(), ['flushed', 'inserted', 'kept'])
})

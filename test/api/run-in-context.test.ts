import { once } from 'node:events'
import { afterCommit, beforeCommit, em, runInContext, type RunOptions } from '../../index.ts'
import { Book, onEachPool, onEveryEngine, onSqlite } from '../support/databases.ts'
import { runs, untilNone, untilOne } from '../support/server-connections.ts'
import { startServer } from '../support/server.ts'

onEveryEngine('runInContext() commits when its function returns, and returns what that returned', async (t, { orm, titles, taken, sent }) => {
  const repository = orm.em.getRepository(Book)
  const book = await runInContext({ orm }, async () => {
    const book = em().create(Book, { title: 'Emma' })
    t.equal(orm.em.getContext(), em())
    t.equal(repository.getEntityManager().getContext(), em())
    return book
  })
  t.match(book, { id: 1, title: 'Emma', stock: 3 })
  t.strictSame(await titles(), ['Emma'])
  t.equal(await runInContext({ orm }, () => 5), 5, 'also what is no promise')
  t.equal(taken(), 0)

  sent.length = 0
  t.equal(await runInContext({ orm }, async () => await em().count(Book)), 1)
  t.equal(sent.length, 1, 'no transaction for a read')
  t.throws(() => em(), { code: 'FST_ORM_NO_CONTEXT' }, 'nothing of it is left outside')
})

onEveryEngine('runInContext() rolls back when its function throws, and rethrows', async (t, { orm, titles, taken }) => {
  const no = new Error('no')
  await t.rejects(runInContext({ orm }, async () => {
    await em().insert(Book, { title: 'Emma' })
    throw no
  }), no)
  await t.rejects(runInContext({ orm }, () => { throw no }), no)
  await t.rejects(runInContext({ orm }, async () => {
    await em().insert(Book, { title: 'Emma' })
    em().create(Book, { title: 'Emma' })
  }), { name: 'UniqueConstraintViolationException' }, 'and when the flush fails')
  t.strictSame(await titles(), [])
  t.equal(taken(), 0)
})

onEveryEngine('what runs on after its function has returned is refused, with the name of the context', async (t, { orm, titles }) => {
  const job = async (options: RunOptions): Promise<unknown> => {
    const go = Promise.withResolvers<void>()
    let late: Promise<unknown> | undefined
    await runInContext(options, async function restock () {
      await em().insert(Book, { title: 'in time' })
      late = go.promise.then(() => em().insert(Book, { title: 'late' })).catch(error => error)
      await em().nativeDelete(Book, {})
    })
    go.resolve()
    return await late
  }
  t.match(await job({ orm }), { code: 'FST_ORM_CONTEXT_ENDED', message: /^restock has ended \(committed\)/ })
  t.match(await job({ orm, name: 'job 7' }), { code: 'FST_ORM_CONTEXT_ENDED', message: /^job 7 has ended/ })
  await t.rejects(runInContext({ orm, readOnly: true }, () => em().insert(Book, { title: 'Emma' })), { code: 'FST_ORM_READ_ONLY', message: /^runInContext\(\) is readOnly/ })
  t.strictSame(await titles(), [])
})

onSqlite('each mistake in its arguments says what is wrong with it', async (t, { orm, another }) => {
  const mistakes: [args: any[], message: RegExp][] = [
    [[], /"fn" takes a function, as its last argument, got undefined/],
    [[{ orm }], /"fn" takes a function/],
    [[{ orm }, 'x'], /"fn" takes a function, .* got 'x' \(string\)/],
    [[5, async () => {}], /"options" takes an object, got 5/],
    [[null, async () => {}], /"options" takes an object, got null/],
    [[{ orm: () => orm }, async () => {}], /"orm" takes a MikroORM with an SQL driver \(not its em\), or an array of them, got/],
    [[{ orm: [orm, await another()] }, async () => {}], /^runInContext\(\): the option "orm" takes MikroORMs that differ/],
    [[{ orm, transaction: 'never' }, async () => {}], /"transaction" takes/],
    [[{ orm, isolationLevel: 'strict' }, async () => {}], /"isolationLevel" takes/],
    [[{ orm, readOnly: 1 }, async () => {}], /"readOnly" takes/],
    [[{ orm, readOnly: true, transaction: false }, async () => {}], /"readOnly" takes a transaction/],
    [[{ orm, name: 5 }, async () => {}], /"name" takes a string, got 5/],
    [[{ orm, signal: {} }, async () => {}], /"signal" takes an AbortSignal, got \{\}/],
    [[{ orm, retries: 5 }, async () => {}], /there are orm, transaction, isolationLevel, readOnly, replica, after, name, signal/]
  ]
  for (const [args, message] of mistakes) {
    await t.rejects((runInContext as any)(...args), { code: 'FST_ORM_BAD_OPTION', message }, String(message))
  }
  await t.rejects(runInContext(async () => {}), { code: 'FST_ORM_NO_CONTEXT', message: /runInContext\(\) without orm outside a context: .* Pass the MikroORM/ })
})

onEachPool('the options are those of a route', async (t, { orm, kind, sent, titles }) => {
  await runInContext({ orm, isolationLevel: 'serializable' }, () => em().count(Book))
  const beginning = kind === 'mariadb' ? ['set transaction isolation level serializable', 'begin'] : ['start transaction isolation level serializable']
  t.match(sent, [...beginning, /^select count/, 'commit'])
  t.equal(sent.length, beginning.length + 2)
  sent.length = 0
  await runInContext({ orm, transaction: 'on-query' }, () => em().count(Book))
  t.equal(sent[0], 'begin')
  await t.rejects(runInContext({ orm, transaction: false }, async () => {
    em().create(Book, { title: 'stays' })
    await em().flush()
    throw new Error('no')
  }), { message: 'no' })
  t.strictSame(await titles(), ['stays'])
})

onEveryEngine('a context inside another has its own EntityManager, and ends on its own', async (t, { orm, titles, taken }) => {
  const { post } = await startServer(t, { orm }, app => {
    app.post('/committed', async () => {
      const outer = em()
      await runInContext(async () => {
        t.not(em(), outer)
        t.not(orm.em.getContext(), outer)
        em().create(Book, { title: 'inner' })
      })
      t.equal(em(), outer)
      em().create(Book, { title: 'outer' })
      throw new Error('no')
    })
    app.post('/failed', async () => {
      await runInContext(async () => {
        await em().insert(Book, { title: 'lost' })
        throw new Error('no')
      }).catch(() => {})
      em().create(Book, { title: 'kept' })
      return { ok: true }
    })
  })
  t.equal((await post('/committed')).status, 500)
  t.strictSame(await titles(), ['inner'])
  t.equal((await post('/failed')).status, 200)
  t.strictSame(await titles(), ['inner', 'kept'])
  t.equal(taken(), 0)
})

onEachPool('inside em.transactional(), runInContext() is outside of it', async (t, { orm, titles }) => {
  await runInContext({ orm }, async () => {
    await em().transactional(async inner => {
      await inner.insert(Book, { title: 'outer' })
      await runInContext(async () => {
        t.not(em(), inner)
        t.equal(await em().count(Book), 0)
        await em().insert(Book, { title: 'inner' })
      })
      t.equal(em(), inner)
      throw new Error('no')
    }).catch(() => {})
  })
  t.strictSame(await titles(), ['inner'])
})

onEveryEngine('branches run in parallel, each in a context of its own', async (t, { orm, titles, taken }) => {
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      const managers = new Set<unknown>()
      const branch = (title: string) => async (): Promise<string> => {
        managers.add(em())
        em().create(Book, { title })
        await em().flush()
        return title
      }
      const outer = async (): Promise<string> => {
        managers.add(em())
        em().create(Book, { title: 'c' })
        return 'c'
      }
      const done = await Promise.all([runInContext(branch('a')), runInContext(branch('b')), outer()])
      t.equal(managers.size, 3)
      return done
    })
  })
  t.strictSame(await (await post('/')).json(), ['a', 'b', 'c'])
  t.strictSame(await titles(), ['a', 'b', 'c'])
  t.equal(taken(), 0)
})

onEachPool('contexts that are nested deeply, and many at once, keep apart', async (t, { orm, titles }) => {
  const nest = async (depth: number, path: string): Promise<void> => {
    if (depth === 0) return
    await runInContext({ orm }, async () => {
      await Promise.all([nest(depth - 1, `${path}l`), nest(depth - 1, `${path}r`)])
      t.equal(await em().count(Book, { title: { $like: `${path}_` } }), depth > 1 ? 2 : 0)
      em().create(Book, { title: path })
    })
  }
  await nest(4, 'x')
  t.equal((await titles()).length, 15)
})

onEachPool('an aborted signal cancels the running query, rolls back and rejects with its reason', async (t, database) => {
  const { orm, titles, taken, sleep, slowRead } = database
  const reason = new Error('enough')
  for (const sql of [`insert into book (title) select 'late' from (${sleep()}) slept`, sleep(), slowRead]) {
    const controller = new AbortController()
    const running = runInContext({ orm, signal: controller.signal }, async () => {
      if (sql.startsWith('insert')) await em().insert(Book, { title: 'early' })
      await (em() as any).execute(sql)
    })
    await untilOne(database, runs(sql))
    const before = performance.now()
    controller.abort(reason)
    await t.rejects(running, reason)
    t.ok(performance.now() - before < 10_000, 'and not after the 600 s of the statement')
    t.equal(taken(), 0)
    await untilNone(database, runs(sql))
  }
  t.strictSame(await titles(), [])
})

onEveryEngine('an abort at any other time rolls back as well, or comes too late', async (t, { orm, titles, taken }) => {
  const reason = new Error('enough')
  await t.rejects(runInContext({ orm, signal: AbortSignal.abort(reason) }, () => { t.fail('must not run') }), reason)

  const controller = new AbortController()
  const refused = Promise.withResolvers<unknown>()
  const running = runInContext({ orm, signal: controller.signal }, async () => {
    await em().insert(Book, { title: 'early' })
    controller.abort(reason)
    await running.catch(() => {})
    await em().insert(Book, { title: 'late' }).catch(refused.resolve)
  })
  await t.rejects(running, reason, 'between queries')
  t.match(await refused.promise, { code: 'FST_ORM_CONTEXT_ENDED', message: /has ended \(rolledBack\)/ })

  const during = new AbortController()
  await t.rejects(runInContext({ orm, signal: during.signal }, async () => {
    em().create(Book, { title: 'flushed' })
    em().getEventManager().registerSubscriber({ afterFlush: () => { during.abort(reason) } })
  }), reason, 'during the flush')

  const before = new AbortController()
  await t.rejects(runInContext({ orm, signal: before.signal }, async () => {
    await em().insert(Book, { title: 'hooked' })
    beforeCommit(() => { before.abort(reason) })
  }), reason, 'before the commit')

  const late = new AbortController()
  t.equal(await runInContext({ orm, signal: late.signal }, async () => {
    em().create(Book, { title: 'committed' })
    em().getEventManager().registerSubscriber({ afterTransactionCommit: () => { late.abort(reason) } })
    return 1
  }), 1, 'during the commit, which decides')

  const thrown = new AbortController()
  await t.rejects(runInContext({ orm, signal: thrown.signal }, async () => {
    await em().insert(Book, { title: 'thrown' })
    const aborted = once(thrown.signal, 'abort')
    thrown.abort(reason)
    await aborted
    throw new Error('because of the abort')
  }), reason, 'the reason, and not what follows from it')

  t.strictSame(await titles(), ['committed'])
  t.equal(taken(), 0)
})

onEachPool('an abort while it waits for a connection does not wait for that', async (t, { another, titles }) => {
  const orm = await another({ pool: { min: 0, max: 1 } })
  const holding = Promise.withResolvers<void>()
  const held = Promise.withResolvers<void>()
  const holder = orm.em.fork().transactional(async em => {
    await em.execute('select 1')
    held.resolve()
    await holding.promise
  })
  await held.promise
  await t.rejects(runInContext({ orm, signal: AbortSignal.timeout(20) }, () => em().insert(Book, { title: 'late' })), { name: 'TimeoutError' })
  await t.rejects(runInContext({ orm, signal: AbortSignal.timeout(20) }, () => em().count(Book)), { name: 'TimeoutError' })
  holding.resolve()
  await holder
  t.equal(await runInContext({ orm }, () => em().count(Book)), 0)
  t.strictSame(await titles(), [])
})

onSqlite('an abort listener is not left behind, and contexts that follow one another keep nothing of each other', async (t, { orm }) => {
  const { signal } = new AbortController()
  let added = 0
  const add = signal.addEventListener
  const remove = signal.removeEventListener
  signal.addEventListener = function (...args: any) { added++; return Reflect.apply(add, this, args) }
  signal.removeEventListener = function (...args: any) { added--; return Reflect.apply(remove, this, args) }
  await runInContext({ orm, signal }, () => em().count(Book))
  await t.rejects(runInContext({ orm, signal }, () => { throw new Error('no') }), { message: 'no' })
  t.equal(added, 0)
})

onSqlite('an afterCommit that fails outside of any request is a warning of the process', async (t, { orm }) => {
  // eslint-disable-next-line no-throw-literal
  for (const fail of [() => { throw new Error('mail') }, () => { throw 'mail' }]) {
    const warned = once(process, 'warning')
    await runInContext({ orm, name: 'job' }, () => { afterCommit(fail) })
    t.match((await warned)[0], { name: 'FastifyContextOrmWarning', message: 'job: an afterCommit hook has failed', detail: /mail/ })
  }
})

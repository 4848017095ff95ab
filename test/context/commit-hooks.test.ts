import { TransactionPropagation } from '@mikro-orm/core'
import { afterCommit, afterRollback, beforeCommit, commit, em, rollback, runInContext } from '../../index.ts'
import { Book, onEachDatabase, onEachPool, onEveryEngine } from '../support/databases.ts'
import { refuseCommits } from '../support/refused-commits.ts'
import { startServer } from '../support/server.ts'
import { until } from '../support/until.ts'

/** Registers one hook of each kind, which notes that it ran. */
function note (ran: string[], name: string): void {
  beforeCommit(() => { ran.push(`before ${name}`) })
  afterCommit(() => { ran.push(`after ${name}`) })
  afterRollback(() => { ran.push(`rollback ${name}`) })
}

onEachDatabase('hooks run in order, each awaited, around the commit and before the reply', async (t, { orm, titles, taken }) => {
  const ran: string[] = []
  const { post } = await startServer(t, { orm }, app => {
    app.post('/:outcome', async request => {
      await em().insert(Book, { title: (request.params as any).outcome })
      for (const n of [1, 2]) {
        beforeCommit(async () => {
          await em().count(Book)
          ran.push(`before ${n}: ${(await titles()).length} committed`)
        })
        afterCommit(async () => {
          await em().count(Book)
          ran.push(`after ${n}: ${(await titles()).length} committed, ${taken()} taken`)
        })
        afterRollback(async () => { ran.push(`rollback ${n}: ${(await titles()).length} committed`) })
      }
      if ((request.params as any).outcome === 'throw') throw new Error('no')
      return { ok: true }
    })
  })
  t.equal((await post('/commit')).status, 200)
  t.strictSame(ran, ['before 1: 0 committed', 'before 2: 0 committed', 'after 1: 1 committed, 0 taken', 'after 2: 1 committed, 0 taken'])
  ran.length = 0
  t.equal((await post('/throw')).status, 500)
  t.strictSame(ran, ['rollback 1: 1 committed', 'rollback 2: 1 committed'])
})

onEveryEngine('what beforeCommit writes is committed too, and what it registers runs too', async (t, { orm, titles }) => {
  const ran: string[] = []
  await runInContext({ orm }, () => {
    em().create(Book, { title: 'Emma' })
    beforeCommit(() => {
      em().create(Book, { title: 'audit' })
      note(ran, 'inner')
    })
    note(ran, 'outer')
  })
  t.strictSame(await titles(), ['Emma', 'audit'])
  t.strictSame(ran, ['before outer', 'before inner', 'after outer', 'after inner'])
  await runInContext({ orm }, () => { beforeCommit(async () => { await em().insert(Book, { title: 'alone' }) }) })
  t.strictSame(await titles(), ['Emma', 'alone', 'audit'], 'also as the only one that writes')
})

onEveryEngine('a beforeCommit that throws rolls everything back', async (t, { orm, titles, taken }) => {
  const ran: string[] = []
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      await em().insert(Book, { title: 'Emma' })
      note(ran, 'first')
      beforeCommit(async () => { throw Object.assign(new Error('not allowed'), { statusCode: 403 }) })
      note(ran, 'second')
      return 'ok'
    })
  })
  t.match(await (await post('/')).json(), { statusCode: 403, message: 'not allowed' })
  t.strictSame(await titles(), [])
  t.strictSame(ran, ['before first', 'rollback first', 'rollback second'])
  t.equal(taken(), 0)
})

onEveryEngine('an afterCommit or afterRollback that throws is logged, and changes nothing', async (t, { orm, titles }) => {
  const ran: string[] = []
  const { post, log } = await startServer(t, { orm }, app => {
    app.post('/:outcome', async request => {
      await em().insert(Book, { title: (request.params as any).outcome })
      afterCommit(() => { throw new Error('mail server is down') })
      afterRollback(async () => { throw new Error('no such file') })
      note(ran, 'second')
      if ((request.params as any).outcome === 'throw') throw Object.assign(new Error('no'), { statusCode: 400 })
      return 'ok'
    })
  })
  t.equal((await post('/commit')).status, 200)
  t.match(log, [{ level: 50, msg: 'POST /:outcome: an afterCommit hook has failed', err: { message: 'mail server is down' } }])
  log.length = 0
  t.equal((await post('/throw')).status, 400)
  t.match(log, [{ level: 50, msg: 'POST /:outcome: an afterRollback hook has failed', err: { message: 'no such file' } }])
  t.strictSame(ran, ['before second', 'after second', 'rollback second'])
  t.strictSame(await titles(), ['commit'])
})

onEveryEngine('afterCommit runs where nothing was written, and not where nothing is committed', async (t, { orm, sent }) => {
  const ran: string[] = []
  const { post } = await startServer(t, { orm }, app => {
    app.post('/nothing', async () => { note(ran, 'nothing'); return 'ok' })
    app.post('/read', async () => { note(ran, 'read'); return { books: await em().count(Book) } })
    app.post('/status', async (_request, reply) => { note(ran, 'status'); return reply.code(404).send('no') })
    app.post('/opted-out', { config: { orm: false } }, async () => note(ran, 'opted out'))
  })
  t.equal((await post('/nothing')).status, 200)
  t.equal((await post('/read')).status, 200)
  t.equal((await post('/status')).status, 404)
  t.match(await (await post('/opted-out')).json(), { code: 'FST_ORM_NO_CONTEXT', message: /beforeCommit\(\) outside a context: POST \/opted-out opted out/ })
  t.strictSame(ran, ['before nothing', 'after nothing', 'before read', 'after read', 'rollback status'])
  t.equal(sent.length, 1)
})

onEveryEngine('a hook of an em.transactional() that rolls back is dropped, and its afterRollback run', async (t, { orm }) => {
  const ran: string[] = []
  await runInContext({ orm }, async () => {
    note(ran, 'outer')
    await em().transactional(async () => {
      note(ran, 'kept')
      await em().transactional(async () => { note(ran, 'inner, kept') })
      await em().transactional(async () => {
        note(ran, 'inner, dropped')
        throw new Error('no')
      }).catch(() => { ran.push('caught') })
    })
    await em().transactional(async () => {
      note(ran, 'dropped')
      await em().transactional(async () => { note(ran, 'inner, gone with the outer one') })
      throw new Error('no')
    }).catch(() => { ran.push('caught') })
  })
  t.strictSame(ran, [
    'rollback inner, dropped', 'caught', 'rollback dropped', 'rollback inner, gone with the outer one', 'caught',
    'before outer', 'before kept', 'before inner, kept', 'after outer', 'after kept', 'after inner, kept'
  ])
})

for (const transaction of ['on-write', false] as const) {
  for (const propagation of [TransactionPropagation.REQUIRES_NEW, TransactionPropagation.NOT_SUPPORTED]) {
    onEachPool(`hooks of an em.transactional() with ${propagation} are its own, with transaction: ${transaction}`, async (t, { orm, titles }) => {
      const ran: string[] = []
      await t.rejects(runInContext({ orm, transaction }, async () => {
        note(ran, 'outer')
        await em().transactional(async own => {
          if (propagation === TransactionPropagation.REQUIRES_NEW) t.equal(em(), own)
          note(ran, 'own')
          beforeCommit(async () => { await own.insert(Book, { title: 'in its transaction' }) })
          own.create(Book, { title: 'own' })
          await own.transactional(async () => {
            note(ran, 'nested')
            throw new Error('nested')
          }).catch(() => {})
          await own.transactional(async () => { note(ran, 'nested, kept') })
        }, { propagation })
        t.strictSame(await titles(), ['in its transaction', 'own'])
        ran.push('committed')
        await em().transactional(async () => {
          note(ran, 'own, failing')
          throw new Error('own')
        }, { propagation }).catch(() => {})
        throw new Error('no')
      }), { message: 'no' })
      t.strictSame(ran, [
        'rollback nested', 'before own', 'before nested, kept', 'after own', 'after nested, kept', 'committed', 'rollback own, failing', 'rollback outer'
      ])
    })
  }
}

onEveryEngine('with transaction: false, the hooks of an em.transactional() belong to its transaction', async (t, { orm }) => {
  const ran: string[] = []
  await runInContext({ orm, transaction: false }, async () => {
    await em().transactional(async () => note(ran, 'kept'))
    await em().transactional(async () => {
      note(ran, 'dropped')
      throw new Error('no')
    }).catch(() => {})
    note(ran, 'context')
  })
  t.strictSame(ran, ['before kept', 'after kept', 'rollback dropped', 'before context', 'after context'])
})

onEveryEngine('hooks run once, with the first commit or rollback of the context that comes', async (t, { orm, titles }) => {
  const ran: string[] = []
  await runInContext({ orm }, async () => {
    note(ran, '1')
    await em().insert(Book, { title: 'Emma' })
    await commit()
    ran.push('committed')
    note(ran, '2')
    await rollback()
    ran.push('rolled back')
    note(ran, '3')
    afterCommit(() => { em().create(Book, { title: 'lost' }) })
  })
  t.strictSame(ran, ['before 1', 'after 1', 'committed', 'rollback 2', 'rolled back', 'before 3', 'after 3'])
  t.strictSame(await titles(), ['Emma'])
})

onEveryEngine('an afterCommit of a commit by hand can write, and one of the last commit is told that it is too late', async (t, { orm, titles }) => {
  const late: unknown[] = []
  await runInContext({ orm, name: 'job' }, async () => {
    await em().insert(Book, { title: 'Emma' })
    afterCommit(() => em().insert(Book, { title: 'after' }))
    await commit()
    afterCommit(async () => {
      await em().insert(Book, { title: 'late' }).catch(error => late.push(error))
      try { afterCommit(() => {}) } catch (error) { late.push(error) }
      await runInContext(() => em().insert(Book, { title: 'in a context of its own' }))
    })
  })
  t.match(late, [{ code: 'FST_ORM_CONTEXT_ENDED', message: /^job has ended \(committed\)/ }, { code: 'FST_ORM_CONTEXT_ENDED', message: /afterCommit\(\)/ }])
  t.strictSame(await titles(), ['Emma', 'after', 'in a context of its own'])
})

onEachPool('a commit that the database refuses runs afterRollback; one whose outcome is unknown runs nothing', async (t, database) => {
  const { orm, titles, ownId, kill, taken } = database
  const ran: string[] = []
  const { name } = await refuseCommits(database)
  const before = taken()
  const write = async (): Promise<void> => {
    note(ran, 'hook')
    await (em() as any).execute('insert into review (book_id) values (99)')
  }
  await t.rejects(runInContext({ orm }, write), { name })
  t.strictSame(ran, ['before hook', 'rollback hook'])
  ran.length = 0
  await t.rejects(runInContext({ orm }, async () => {
    await write()
    await commit()
  }), { name })
  t.strictSame(ran, ['before hook', 'rollback hook'])
  ran.length = 0
  await t.rejects(runInContext({ orm }, async () => {
    note(ran, 'hook')
    await em().insert(Book, { title: 'Emma' })
    beforeCommit(async () => {
      await kill((await (em() as any).execute(ownId))[0].id)
    })
  }), { name: 'DriverException' })
  t.strictSame(ran, ['before hook'])
  await until(() => taken() === before)
  t.strictSame(await titles(), [])
})

onEveryEngine('an abort runs afterRollback in its context', async (t, { orm }) => {
  const ran: unknown[] = []
  const controller = new AbortController()
  await t.rejects(runInContext({ orm, signal: controller.signal }, async () => {
    const own = em()
    afterRollback(() => { ran.push(em() === own) })
    await own.insert(Book, { title: 'Emma' })
    controller.abort()
  }), { name: 'AbortError' })
  t.strictSame(ran, [true])
})

onEveryEngine('the plugin\'s beforeCommit runs before each commit of something, with the request', async (t, { orm, titles }) => {
  const called: string[] = []
  const { post } = await startServer(t, {
    orm,
    async beforeCommit (manager, request) {
      called.push(`${request.method} ${request.url}`)
      t.equal(manager, em())
      if (request.url === '/refused') throw new Error('refused')
      manager.create(Book, { title: `audit ${called.length}` })
    }
  }, app => {
    app.post('/write', async () => { em().create(Book, { title: 'written' }); return { ok: true } })
    app.post('/by-hand', async () => {
      em().create(Book, { title: 'by hand' })
      await commit()
      return { ok: true }
    })
    app.post('/branch', async () => {
      await runInContext(() => { em().create(Book, { title: 'branch' }) })
      await runInContext({ orm }, () => { em().create(Book, { title: 'other databases, as far as it knows' }) })
      return { ok: true }
    })
    app.post('/read', async () => await em().find(Book, {}))
    app.post('/nothing', async () => 'ok')
    app.post('/throw', async () => {
      await em().insert(Book, { title: 'lost' })
      throw new Error('no')
    })
    app.post('/refused', async () => em().create(Book, { title: 'refused' }))
  })
  for (const path of ['/write', '/by-hand', '/branch', '/read', '/nothing']) t.equal((await post(path)).status, 200, path)
  for (const path of ['/throw', '/refused']) t.equal((await post(path)).status, 500, path)
  t.strictSame(called, ['POST /write', 'POST /by-hand', 'POST /branch', 'POST /refused'])
  t.strictSame(await titles(), ['audit 1', 'audit 2', 'audit 3', 'branch', 'by hand', 'other databases, as far as it knows', 'written'])
})

onEveryEngine('hooks have to be functions, and need a context', async (t, { orm }) => {
  for (const register of [beforeCommit, afterCommit, afterRollback]) {
    t.throws(() => register(() => {}), { code: 'FST_ORM_NO_CONTEXT', message: new RegExp(`^${register.name}\\(\\) outside a context`) })
    await t.rejects(runInContext({ orm }, () => register('mail' as any)), { code: 'FST_ORM_BAD_OPTION', message: /"hook" takes a function, got 'mail' \(string\)/ })
  }
})

onEveryEngine('a hook that fails in a branch of a request is logged by the request', async (t, { orm }) => {
  const { post, log } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      await runInContext({ name: 'branch' }, () => { afterCommit(() => { throw new Error('mail') }) })
      return 'ok'
    })
  })
  t.equal((await post('/')).status, 200)
  t.match(log, [{ level: 50, reqId: 'req-1', msg: 'branch: an afterCommit hook has failed', err: { message: 'mail' } }])
})

onEachPool('a hook that fails in a transaction beside that of the context is logged as well', async (t, { orm, titles }) => {
  const { post, log } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      await em().transactional(async own => {
        await own.insert(Book, { title: 'own' })
        afterCommit(() => { throw new Error('mail') })
      }, { propagation: TransactionPropagation.REQUIRES_NEW })
      return 'ok'
    })
  })
  t.equal((await post('/')).status, 200)
  t.strictSame(await titles(), ['own'])
  t.match(log, [{ level: 50, msg: 'POST /: a hook of an em.transactional() has failed', err: { message: 'mail' } }])
})

onEveryEngine('once the commit is on its way, it is too late for a hook', async (t, { orm }) => {
  const late: unknown[] = []
  await runInContext({ orm, name: 'job' }, async () => {
    await em().insert(Book, { title: 'Emma' })
    em().getEventManager().registerSubscriber({
      beforeTransactionCommit () { try { afterCommit(() => {}) } catch (error) { late.push(error) } }
    })
  })
  t.match(late, [{ code: 'FST_ORM_CONTEXT_ENDED', message: /^job has ended \(it is being settled\), which is too late for this: afterCommit\(\)/ }])
})

onEachDatabase('what is registered while commit() is on its way waits for the next commit, unless it is part of that one', async (t, { orm, titles }) => {
  for (const end of ['return', 'throw']) {
    const ran: string[] = []
    const committed = Promise.withResolvers<void>()
    const registered = Promise.withResolvers<void>()
    let commits = 0
    const subscriber = {
      async afterTransactionCommit () {
        if (++commits > 1) return
        note(ran, 'of a subscriber')
        committed.resolve()
        await registered.promise
      }
    }
    orm.em.getEventManager().registerSubscriber(subscriber)
    const running = runInContext({ orm }, async () => {
      const beside = (async () => {
        await committed.promise
        note(ran, 'beside')
        registered.resolve()
        await em().insert(Book, { title: `${end} beside` })
      })()
      note(ran, 'first')
      await em().insert(Book, { title: `${end} first` })
      await commit()
      t.strictSame(ran.splice(0), ['before first', 'after first', 'after of a subscriber'], end)
      await beside
      if (end === 'throw') throw new Error('no')
    })
    if (end === 'throw') await t.rejects(running, { message: 'no' })
    else await running
    t.strictSame(ran, end === 'throw' ? ['rollback beside'] : ['before beside', 'after beside'])
    orm.em.getEventManager().getSubscribers().delete(subscriber)
  }
  t.strictSame(await titles(), ['return beside', 'return first', 'throw first'])
})

import { em, runInContext } from '../../index.ts'
import { createSandbox } from '../../testing.ts'
import { Author, Book, onEachPool, onEveryEngine, onPostgres } from '../support/databases.ts'
import { havingLittlePatience } from '../support/little-patience.ts'
import { startServer } from '../support/server.ts'
import { until } from '../support/until.ts'

onEachPool('many sandboxes at once, none of which sees the rows of another', async (t, { orm, titles, taken }) => {
  const { app } = await startServer(t, { orm }, app => {
    app.post('/books/:title', async request => {
      const { title } = request.params as { title: string }
      em().create(Book, { title, stock: 1, author: em().create(Author, { name: `author of ${title}` }) })
      await em().flush()
      return { books: await em().count(Book), authors: await runInContext(() => em().count(Author)) }
    })
  })
  const begun: unknown[] = []
  const one = async (i: number): Promise<void> => {
    await using sandbox = await createSandbox(orm)
    begun.push(sandbox)
    await sandbox.em.insert(Book, { title: `arranged ${i}` })
    if (i < 5) await until(() => begun.length >= 5) // so that five are open for certain: as many as the pool has connections
    for (const count of [1, 2, 3]) {
      const response = await sandbox.run(() => app.inject({ method: 'POST', url: `/books/${i}-${count}` }))
      t.strictSame(response.json(), { books: 1 + count, authors: count })
    }
    t.equal(await sandbox.em.count(Book), 4)
  }
  await Promise.all(Array.from({ length: 40 }, (_, i) => one(i)))
  t.strictSame(await titles(), [])
  t.equal(taken(), 0)
})

onEveryEngine('parallel requests of one sandbox have its connection from their first write to their end', async (t, { orm }) => {
  const { app } = await startServer(t, { orm }, app => {
    app.post('/:title/:ending', async (request, reply) => {
      const { title, ending } = request.params as Record<string, string>
      const before = await em().count(Book)
      await em().insert(Book, { title: `${title} 1` })
      await new Promise(resolve => setImmediate(resolve))
      await em().insert(Book, { title: `${title} 2` })
      if (ending === 'throw') throw new Error('no')
      if (ending === 'conflict') reply.code(409)
      return { added: await em().count(Book) - before }
    })
  })
  await using sandbox = await createSandbox(orm)
  const endings = ['ok', 'throw', 'conflict']
  const replies = await sandbox.run(() => Promise.all(Array.from({ length: 30 }, (_, i) => app.inject({ method: 'POST', url: `/${i}/${endings[i % 3]}` }))))
  t.strictSame(replies.map(({ statusCode }) => statusCode), Array.from({ length: 30 }, (_, i) => [200, 500, 409][i % 3]))
  t.strictSame(new Set((await sandbox.em.findAll(Book)).map(({ title }) => Number(title.split(' ')[0]) % 3)), new Set([0]))
  t.equal(await sandbox.em.count(Book), 20)
})

onEachPool('a context inside of another one that has begun lies inside its savepoint', async (t, { orm, taken }) => {
  const sandbox = await createSandbox(orm)
  const titles = async (): Promise<string[]> => (await sandbox.em.findAll(Book, { orderBy: { title: 'asc' } })).map(({ title }) => title)
  const add = (title: string, then = async (): Promise<void> => {}): Promise<void> => runInContext({ name: title }, async () => {
    await em().insert(Book, { title })
    await then()
  })
  await sandbox.run(async () => {
    await runInContext({ orm }, async () => {
      await em().insert(Book, { title: 'outer' })
      await add('inner', () => add('innermost'))
      await t.rejects(add('failed', async () => { throw new Error('no') }))
      t.equal(await runInContext(() => em().count(Book)), 3, 'it sees what is not committed')
      await Promise.all([add('left'), em().insert(Book, { title: 'beside' }), add('right')])
      await em().transactional(async () => { await add('in a transaction') })
      await em().transactional(async () => { await add('in its own') }, { propagation: 'requires_new' as never })
    })
    t.strictSame(await titles(), ['beside', 'in a transaction', 'in its own', 'inner', 'innermost', 'left', 'outer', 'right'])

    await t.rejects(runInContext({ orm }, async () => {
      await em().insert(Book, { title: 'taken back' })
      await add('with it')
      throw new Error('no')
    }))
    t.equal((await titles()).length, 8, 'it goes back with what is around it')

    // both begin at once: whichever is first, the other neither waits for ever nor is lost
    await runInContext({ orm }, async () => { await Promise.all([em().insert(Book, { title: 'x' }), add('y'), add('z')]) })
    await runInContext({ orm, transaction: 'on-query' }, async () => { await Promise.all([em().count(Book), runInContext(() => em().count(Book)), add('v')]) })
    t.equal((await titles()).length, 12)
    await runInContext({ orm }, async () => {
      const requiresNew = { propagation: 'requires_new' as never }
      await Promise.all([em().transactional(() => em().insert(Book, { title: 'own' }), requiresNew), em().insert(Book, { title: 'u' })])
    })
    await runInContext({ orm }, async () => {
      await orm.em.fork().transactional(async fork => { await Promise.all([fork.insert(Book, { title: 't' }), add('s')]) })
    })
    t.equal((await titles()).length, 16)
  })
  await sandbox.rollback()
  t.equal(taken(), 0)
})

onEachPool('where each waits for the other, one of them is told', async (t, { orm, taken }) => {
  havingLittlePatience(t)
  const sandbox = await createSandbox(orm)
  const began = Promise.withResolvers<void>()
  const goOn = Promise.withResolvers<void>()
  const holder = sandbox.run(() => runInContext({ orm, name: 'holder' }, async () => {
    await em().insert(Book, { title: 'held' })
    began.resolve()
    await goOn.promise
  }))
  await began.promise
  const waiter = sandbox.run(() => runInContext({ orm, name: 'waiter' }, () => em().insert(Book, { title: 'waiting' })))
  await Promise.all([
    t.rejects(waiter, { code: 'FST_ORM_SANDBOX_WAIT', message: /^waiter waits for the connection of its sandbox, where holder has a transaction open, and nothing has happened for 0\.4 s\. / }),
    t.rejects(sandbox.em.count(Book), { code: 'FST_ORM_SANDBOX_WAIT', message: /^sandbox\.em waits / })
  ])
  goOn.resolve()
  await holder
  t.equal(await sandbox.em.count(Book), 1)
  await sandbox.rollback()
  t.equal(taken(), 0)
})

onEachPool('who waits for somebody who is at work is not told to give up', async (t, { orm, sleep }) => {
  havingLittlePatience(t)
  await using sandbox = await createSandbox(orm)
  await sandbox.run(() => Promise.all([
    runInContext({ orm, name: 'slow' }, () => (em() as any).execute(sleep(0.8))),
    runInContext({ orm }, () => em().insert(Book, { title: 'after it' }))
  ]))
  t.equal(await sandbox.em.count(Book), 1)
})

onEachPool('a sandbox inside of another one is a savepoint of it', async (t, { orm, titles, taken }) => {
  const suite = await createSandbox(orm)
  await suite.em.insert(Book, { title: 'of all tests' })
  await suite.run(async () => {
    for (const title of ['first', 'second']) {
      await using sandbox = await createSandbox(orm)
      await sandbox.run(() => runInContext({ orm }, () => em().insert(Book, { title })))
      t.strictSame((await sandbox.em.findAll(Book, { orderBy: { id: 'asc' } })).map(book => book.title), ['of all tests', title])
    }
  })
  t.equal(taken(), 1)
  await suite.rollback()
  t.strictSame(await titles(), [])
  t.equal(taken(), 0)
})

/** Elsewhere, no commit inside of a sandbox takes its time: it is a savepoint that is released, without constraints to check. */
onPostgres('a branch that begins while the context around it commits is none of that one\'s', async (t, { orm, observe, taken }) => {
  await orm.schema.execute(`
    create function nap () returns trigger language plpgsql as $$ begin if new.title = 'slow' then perform pg_sleep(1); end if; return new; end $$;
    create constraint trigger nap after insert on book deferrable initially deferred for each row execute function nap();
  `)
  const sandbox = await createSandbox(orm)
  await sandbox.run(async () => {
    const begin = Promise.withResolvers<void>()
    const written = Promise.withResolvers<void>()
    let branch: Promise<unknown> = Promise.resolve()
    const outer = runInContext({ orm }, async () => {
      await em().insert(Book, { title: 'slow' })
      branch = begin.promise.then(() => runInContext({ orm }, async () => {
        await em().insert(Book, { title: 'branch' })
        written.resolve()
        throw new Error('taken back')
      }))
    })
    await until(async () => (await observe("select 1 from pg_stat_activity where query = 'set constraints all immediate' and state = 'active' and datname = current_database()")).length > 0)
    begin.resolve()
    const other = runInContext({ orm }, async () => {
      await em().insert(Book, { title: 'other' })
    })
    await Promise.all([outer, other, t.rejects(branch, { message: 'taken back' }), written.promise])
  })
  t.strictSame((await sandbox.em.findAll(Book, { orderBy: { title: 'asc' } })).map(({ title }) => title), ['other', 'slow'])
  await sandbox.rollback()
  t.equal(taken(), 0)
})

onEachPool('a context that cannot end because of a branch inside of it takes that along', async (t, { orm, taken }) => {
  havingLittlePatience(t)
  const sandbox = await createSandbox(orm)
  const goOn = Promise.withResolvers<void>()
  let branch: Promise<unknown> = Promise.resolve()
  await t.rejects(sandbox.run(() => runInContext({ orm, name: 'outer' }, async () => {
    await em().insert(Book, { title: 'outer' })
    const began = Promise.withResolvers<void>()
    branch = runInContext({ name: 'branch' }, async () => {
      await em().insert(Book, { title: 'branch' })
      began.resolve()
      const leaf = runInContext({ name: 'leaf' }, async () => {
        await em().insert(Book, { title: 'leaf' })
        await goOn.promise
      })
      await new Promise(resolve => setTimeout(resolve, 200)) // so that it waits for the leaf, but not for as long as the outer one
      const late = await em().insert(Book, { title: 'late' }).catch(error => error)
      goOn.resolve()
      await leaf.catch(() => {})
      throw late
    })
    branch.catch(() => {})
    await began.promise
  })), { code: 'FST_ORM_SANDBOX_WAIT', message: /^outer waits .*, where leaf has a transaction open/ })
  t.equal(await sandbox.em.count(Book), 0)
  await t.rejects(branch, { code: 'FST_ORM_SANDBOX_ENDED', message: /^branch comes too late: the transaction that it is part of has been rolled back/ })
  t.equal(await sandbox.em.count(Book), 0)
  await sandbox.rollback()
  t.equal(taken(), 0)
})

onEachPool('a context that fails while a branch inside of it is open takes that along, too', async (t, { orm }) => {
  havingLittlePatience(t)
  await using sandbox = await createSandbox(orm)
  const goOn = Promise.withResolvers<void>()
  const branches: Promise<unknown>[] = []
  await t.rejects(sandbox.run(() => runInContext({ orm }, async () => {
    await em().insert(Book, { title: 'outer' })
    const began = Promise.withResolvers<void>()
    branches.push(t.rejects(runInContext(async () => {
      await em().insert(Book, { title: 'branch' })
      began.resolve()
      await goOn.promise
    }), { code: 'FST_ORM_SANDBOX_ENDED' }))
    await began.promise
    throw new Error('no')
  })), { message: 'no' })
  t.equal(await sandbox.em.count(Book), 0)
  goOn.resolve()
  await Promise.all(branches)
})

onEachPool('contexts that all cannot end because of one inside of them are all told, and the sandbox goes on', async (t, { orm, taken }) => {
  havingLittlePatience(t)
  const sandbox = await createSandbox(orm)
  const began = Promise.withResolvers<void>()
  const goOn = Promise.withResolvers<void>()
  const told: Promise<unknown>[] = []
  const stuck = { code: 'FST_ORM_SANDBOX_WAIT', message: /where leaf has a transaction open/ }
  await t.rejects(sandbox.run(() => runInContext({ orm, name: 'outer' }, async () => {
    await em().insert(Book, { title: 'outer' })
    told.push(t.rejects(runInContext({ name: 'inner' }, async () => {
      await em().insert(Book, { title: 'inner' })
      told.push(t.rejects(runInContext({ name: 'leaf' }, async () => {
        await em().insert(Book, { title: 'leaf' })
        began.resolve()
        await goOn.promise
      }), { code: 'FST_ORM_SANDBOX_ENDED' }))
      await began.promise
    }), { code: /^FST_ORM_SANDBOX_(?:WAIT|ENDED)$/ })) // on a busy machine, the outer one may give up first, and take it along
    await began.promise
  })), stuck)
  goOn.resolve()
  await Promise.all(told)
  await sandbox.run(() => runInContext({ orm }, () => em().insert(Book, { title: 'next' })))
  t.strictSame((await sandbox.em.findAll(Book)).map(({ title }) => title), ['next'])
  await sandbox.rollback()
  t.equal(taken(), 0)
})

onEachPool('a context is that of its transaction, also where another one has begun it', async (t, { orm }) => {
  await using sandbox = await createSandbox(orm)
  await sandbox.run(() => runInContext({ orm, name: 'outer' }, async () => {
    const outer = em()
    await runInContext(async () => { await outer.insert(Book, { title: 'by a branch' }) })
    await runInContext(() => em().insert(Book, { title: 'inside' }))
  }))
  t.equal(await sandbox.em.count(Book), 2)
})

onEachPool('who waits for somebody who never ends is told, though that one is at work', async (t, { orm, sleep }) => {
  havingLittlePatience(t)
  await using sandbox = await createSandbox(orm)
  const controller = new AbortController()
  const begun = Promise.withResolvers<void>()
  const polling = sandbox.run(() => runInContext({ orm, name: 'polling' }, async () => {
    await em().insert(Book, { title: 'begun' })
    begun.resolve()
    while (!controller.signal.aborted) await (em() as any).execute(sleep(0.1))
  }))
  await begun.promise
  await t.rejects(sandbox.run(() => runInContext({ orm, name: 'waiting' }, () => em().insert(Book, { title: 'awaited' }))), {
    code: 'FST_ORM_SANDBOX_WAIT', message: /^waiting waits for the connection of its sandbox, where polling has a transaction open, and it has not ended in 3 s/
  })
  controller.abort()
  await polling
})

import { afterCommit, em, runInContext } from '../../index.ts'
import { createSandbox } from '../../testing.ts'
import { Book, NO_DEFERRED, onEachPool, onEveryEngine, onPostgres, onSqlite, type Orm } from '../support/databases.ts'
import { isSleeping, untilOne } from '../support/server-connections.ts'

async function createReviews (orm: Orm): Promise<void> {
  await orm.schema.execute('create table review (id int primary key, book_id int references book (id) deferrable initially deferred)')
}

const review = (id: number, bookId: number): Promise<unknown> => (em() as any).execute(`insert into review values (${id}, ${bookId})`)

onEveryEngine('a deferred constraint is checked when a context commits, as its own', async (t, { orm }) => {
  await createReviews(orm)
  const orders = async (): Promise<unknown[]> => {
    const told: string[] = []
    const run = async (fn: () => Promise<unknown>): Promise<unknown> => {
      try {
        return await runInContext({ orm }, async () => {
          afterCommit(() => { told.push('committed') })
          await fn()
          return 'ok'
        })
      } catch (error: any) {
        return [error.constructor.name, error.code]
      }
    }
    return [
      await run(async () => {
        await review(1, 10)
        await em().insert(Book, { id: 10, title: 'comes later, and in time' })
      }),
      await run(() => review(2, 99)),
      await run(async () => {
        await review(3, 11)
        await em().insert(Book, { id: 11, title: 'deferred again, after a check' })
      }),
      told
    ]
  }
  const sandbox = await createSandbox(orm)
  const inside = await sandbox.run(orders)
  t.equal(await sandbox.em.count(Book), 2)
  t.match(inside, ['ok', ['ForeignKeyConstraintViolationException'], 'ok', ['committed', 'committed']])
  await sandbox.rollback()
  t.strictSame(inside, await orders(), 'as without a sandbox')
}, NO_DEFERRED)

onSqlite('a constraint that nothing enforces is none in a sandbox either', async (t, { orm }) => {
  await createReviews(orm)
  await orm.em.getConnection().execute('pragma foreign_keys = off')
  await using sandbox = await createSandbox(orm)
  await sandbox.run(() => runInContext({ orm }, () => review(1, 99)))
  t.equal((await sandbox.em.execute('select * from review')).length, 1)
})

/** Only PostgreSQL has `set constraints`, and a deferred one that is unique. */
onPostgres('constraints are as deferred for each context as they are declared', async (t, { orm }) => {
  await createReviews(orm)
  await orm.schema.execute('alter table book add constraint one_stock unique (stock) deferrable initially immediate')
  await using sandbox = await createSandbox(orm)
  for (let i = 0; i < 2; i++) {
    await t.rejects(sandbox.run(() => runInContext({ orm }, async () => {
      await em().insert(Book, { title: 'a', stock: 7 })
      await t.rejects(em().insert(Book, { title: 'b', stock: 7 }), { code: '23505' }, 'at once')
    })), { code: 'FST_ORM_TRANSACTION_FAILED' })
    await sandbox.run(() => runInContext({ orm }, async () => {
      await (em() as any).execute('set constraints one_stock deferred')
      await em().insert(Book, { title: `c${i}`, stock: 7 })
      await em().insert(Book, { title: `d${i}`, stock: 7 })
      await em().nativeDelete(Book, { stock: 7 })
    }))
  }
  await sandbox.run(() => runInContext({ orm }, async () => {
    await review(1, 50)
    await runInContext(() => em().insert(Book, { title: 'inner', stock: 8 }))
    await em().insert(Book, { id: 50, title: 'outer', stock: 9 })
  }))
  t.equal(await sandbox.em.count(Book), 2, 'what is deferred waits for the commit of the outer context')
})

onEveryEngine('isolationLevel and readOnly are accepted, and what is read only is refused', async (t, { orm, kind }) => {
  await using sandbox = await createSandbox(orm)
  await sandbox.run(async () => {
    await runInContext({ orm, isolationLevel: 'serializable' }, () => em().insert(Book, { title: 'Emma' }))
    const writing = kind === 'sqlite' || kind === 'libsql' ? "insert into book (title, stock) select 'x', 1" : "with added as (insert into book (title, stock) values ('x', 1) returning id) select * from added"
    await t.rejects(runInContext({ orm, readOnly: true }, () => em().insert(Book, { title: 'no' })), { code: 'FST_ORM_READ_ONLY' })
    // a savepoint of MariaDB's cannot be read only
    if (kind !== 'mariadb') await t.rejects(runInContext({ orm }, () => em().transactional(() => (em() as any).execute(writing), { readOnly: true })), /read.?only/i)
    await runInContext({ orm, readOnly: true, transaction: 'on-query' }, () => em().count(Book))
    await runInContext({ orm }, () => em().insert(Book, { title: 'Persuasion' }))
  })
  t.equal(await sandbox.em.count(Book), 2)
})

/** MikroORM has session contexts on PostgreSQL only. */
onPostgres('what a session context sets ends with its transaction', async (t, { orm, observe }) => {
  const role = `reader_${Date.now()}`
  await orm.schema.execute(`create role ${role}; grant select, insert on book to ${role}; grant usage on all sequences in schema public to ${role}`)
  t.teardown(() => observe(`drop owned by ${role}; drop role ${role}`))
  await using sandbox = await createSandbox(orm)
  const settings = async (): Promise<unknown> => (await (em() as any).execute("select current_setting('app.tenant', true) as tenant, current_user = session_user as own"))[0]
  await sandbox.run(async () => {
    const session = { variables: { 'app.tenant': 7 }, role }
    t.strictSame(await runInContext({ orm }, async () => {
      (em() as any).setSessionContext(session)
      await em().insert(Book, { title: 'of a tenant' })
      return settings()
    }), { tenant: '7', own: false })
    t.strictSame(await runInContext({ orm }, settings), { tenant: '', own: true })
    await t.rejects(runInContext({ orm }, async () => {
      (em() as any).setSessionContext({ role })
      await em().nativeDelete(Book, {})
    }), /permission denied/)
    await runInContext({ orm }, async () => {
      (em() as any).setSessionContext({ variables: { 'app.tenant': 8 } })
      t.strictSame(await settings(), { tenant: '8', own: true })
    })
    t.strictSame(await runInContext({ orm }, settings), { tenant: '', own: true })
  })
  t.equal(await sandbox.em.count(Book), 1)
})

onEachPool('a statement outside of transactions that fails takes nothing along', async (t, { orm }) => {
  await using sandbox = await createSandbox(orm)
  await sandbox.run(() => runInContext({ orm }, async () => {
    await t.rejects((em() as any).execute('select nothing'))
    await em().insert(Book, { title: 'Emma' })
  }))
  await t.rejects(sandbox.em.execute('select nothing'))
  await t.rejects(sandbox.em.insert(Book, { title: 'Emma' }), { name: 'UniqueConstraintViolationException' })
  t.equal(await sandbox.em.count(Book), 1)
})

onEachPool('a context that a signal aborts cancels its own statement, and nobody else\'s', async (t, { orm, sleep }) => {
  await using sandbox = await createSandbox(orm)
  const controller = new AbortController()
  const aborted = sandbox.run(() => runInContext({ orm, signal: controller.signal }, async () => {
    await em().insert(Book, { title: 'aborted' })
    setImmediate(() => controller.abort(new Error('enough')))
    await (em() as any).execute(sleep())
  }))
  await t.rejects(aborted, { message: 'enough' })
  const waiting = new AbortController()
  const [slow, given] = await Promise.allSettled([
    sandbox.run(() => runInContext({ orm }, async () => {
      await em().insert(Book, { title: 'slow' })
      waiting.abort(new Error('given up'))
      await (em() as any).execute(sleep(0.2))
    })),
    sandbox.run(() => runInContext({ orm, signal: waiting.signal }, () => em().insert(Book, { title: 'never' })))
  ])
  t.match(given, { status: 'rejected', reason: { message: 'given up' } })
  t.equal(slow.status, 'fulfilled')
  t.strictSame((await sandbox.em.findAll(Book)).map(({ title }) => title), ['slow'])
})

onEachPool('a statement that waits for its turn in a sandbox is not sent any more when its context is aborted', async (t, database) => {
  const { orm, sleep, titles } = database
  await using sandbox = await createSandbox(orm)
  const waiting = new AbortController()
  const waits = Promise.withResolvers<void>()
  const [slow, aborted] = await Promise.allSettled([
    sandbox.run(() => runInContext({ orm }, async () => {
      await em().insert(Book, { title: 'slow' })
      waits.resolve()
      const sleeping = (em() as any).execute(sleep(0.2))
      await untilOne(database, isSleeping)
      waiting.abort(new Error('enough'))
      await sleeping
    })),
    sandbox.run(() => runInContext({ orm, transaction: false, signal: waiting.signal }, async () => {
      await waits.promise
      await (em() as any).execute(sleep())
    }))
  ])
  t.match([slow, aborted], [{ status: 'fulfilled' }, { status: 'rejected', reason: { message: 'enough' } }])
  t.strictSame((await sandbox.em.findAll(Book)).map(({ title }) => title), ['slow'])
  t.strictSame(await titles(), [])
})

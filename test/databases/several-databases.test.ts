import { MikroORM } from '@mikro-orm/sqlite'
import type { Test } from 'tap'
import { afterCommit, afterRollback, atomic, commit, em, rollback, runInContext } from '../../index.ts'
import { Author, Book, onEachPool, type Orm } from '../support/databases.ts'
import { refuseCommits } from '../support/refused-commits.ts'
import { startServer } from '../support/server.ts'

onEachPool('all databases are flushed before any of them commits', async (t, { orm: main, another, titles, taken }) => {
  const audit = await another({ contextName: 'audit' })
  const { get } = await startServer(t, { orm: [main, audit] }, app => {
    app.get('/flush-fails', async () => {
      em().create(Book, { title: 'main' })
      em('audit').create(Book, { title: 'audit' })
      await em('audit').flush()
      em('audit').create(Book, { title: 'audit' })
      return 'ok'
    })
    app.get('/both', async () => {
      em().create(Book, { title: 'main' })
      em('audit').create(Book, { title: 'audit' })
      return 'ok'
    })
  })
  t.equal((await get('/flush-fails')).status, 409)
  t.strictSame(await titles(), [])
  t.equal((await get('/both')).status, 200)
  t.strictSame(await titles(), ['audit', 'main'])
  t.equal(taken(), 0)
})

onEachPool('a database that fails to commit after another has committed is named', async (t, database) => {
  const { orm: main, another, titles, taken } = database
  const audit = await another({ contextName: 'audit' })
  await refuseCommits(database)
  const before = taken()
  const { failure, get } = await startServer(t, { orm: [main, audit] }, app => {
    app.get('/', async () => {
      em().create(Book, { title: 'main' })
      await (em('audit') as any).execute('insert into review (book_id) values (99)')
      return 'ok'
    })
  })
  t.match(await failure(get('/')), {
    statusCode: 500, code: 'FST_ORM_PARTIAL_COMMIT', message: 'GET / is committed in part: "default" committed, "audit" did not'
  })
  t.strictSame(await titles(), ['main'])
  t.equal(taken(), before)
})

/** A second database, on SQLite. */
async function withReporting (t: Test): Promise<Orm> {
  const reporting = await MikroORM.init({ entities: [Author, Book], dbName: ':memory:', contextName: 'reporting' })
  t.teardown(() => reporting.close())
  await reporting.schema.create()
  return reporting as Orm
}

onEachPool('SQLite and PostgreSQL are committed together, and rolled back together', async (t, { orm: main, titles, taken }) => {
  const reporting = await withReporting(t)
  const inReporting = async (): Promise<string[]> => (await reporting.em.fork().find(Book, {}, { orderBy: { title: 'asc' } })).map(book => book.title)
  const { post, app } = await startServer(t, { orm: [main, reporting] }, app => {
    app.post('/:outcome', async request => {
      const { outcome } = request.params as any
      await em().insert(Book, { title: `main ${outcome}` })
      em('reporting').create(Book, { title: `reporting ${outcome}` })
      t.equal(em('default'), em())
      t.equal(orm(reporting), em('reporting'))
      if (outcome === 'branch') {
        await commit()
        await runInContext(async () => { em('reporting').create(Book, { title: 'in a branch' }) })
      }
      if (outcome === 'throw') throw new Error('no')
      if (outcome === 'flush') em('reporting').create(Book, { title: `reporting ${outcome}` })
      return { ok: true }
    })
  })
  const orm = (orm: Orm): unknown => orm.em.getContext()
  t.strictSame(Object.keys(app.orms), ['default', 'reporting'])
  t.equal(app.orms.reporting, reporting as any)
  t.equal(app.orm, main as any)
  for (const [outcome, status] of [['throw', 500], ['flush', 409], ['commit', 200], ['branch', 200]] as const) {
    t.equal((await post(`/${outcome}`)).status, status, outcome)
  }
  t.strictSame(await titles(), ['main branch', 'main commit'])
  t.strictSame(await inReporting(), ['in a branch', 'reporting branch', 'reporting commit'])
  t.equal(taken(), 0)
})

onEachPool('em.transactional() on both databases at once', async (t, { orm: main, titles, taken }) => {
  const reporting = await withReporting(t)
  const inReporting = (): Promise<number> => reporting.em.fork().count(Book)
  const ran: string[] = []
  await runInContext({ orm: [main, reporting] }, async () => {
    await em().transactional(async a => {
      t.equal(em(), a)
      await em('reporting').transactional(async b => {
        t.equal(em('reporting'), b)
        await a.insert(Book, { title: 'main' })
        await b.insert(Book, { title: 'reporting' })
        afterCommit(() => { ran.push('both') })
      })
      await em('reporting').transactional(async b => {
        afterCommit(() => { ran.push('dropped') })
        await a.insert(Book, { title: 'main too' })
        await b.insert(Book, { title: 'lost' })
        throw new Error('no')
      }).catch(() => {})
    })
    await em('reporting').transactional(() => em().transactional(async () => {
      afterCommit(() => { ran.push('dropped with either') })
      await em().insert(Book, { title: 'lost' })
      throw new Error('no')
    })).catch(() => {})
  })
  t.strictSame(await titles(), ['main', 'main too'])
  t.equal(await inReporting(), 1)
  t.strictSame(ran, ['both'])
  t.equal(taken(), 0)
})

onEachPool('commit() and rollback() act on all databases, or on the one that is named', async (t, { orm: main, titles }) => {
  const reporting = await withReporting(t)
  const inReporting = (): Promise<number> => reporting.em.fork().count(Book)
  const ran: string[] = []
  await runInContext({ orm: [main, reporting] }, async () => {
    const write = async (title: string): Promise<void> => {
      await em().insert(Book, { title })
      await em('reporting').insert(Book, { title })
      afterCommit(() => { ran.push(`after ${title}`) })
      afterRollback(() => { ran.push(`rollback ${title}`) })
    }
    await write('both')
    await commit()
    t.strictSame(ran, ['after both'])
    t.strictSame([await titles(), await inReporting()], [['both'], 1])

    await write('one')
    await commit('reporting')
    t.strictSame(ran, ['after both'], 'hooks wait for all of the context')
    t.strictSame([await titles(), await inReporting()], [['both'], 2])
    await rollback('default')
    t.strictSame(ran, ['after both', 'rollback one'])

    await write('half')
    await rollback('reporting')
    t.strictSame(ran, ['after both', 'rollback one'], 'the other is uncommitted')
    await rollback()
    t.strictSame(ran.splice(2), ['rollback half'])

    await write('none')
    await rollback()
    t.strictSame(ran, ['after both', 'rollback one', 'rollback none'])
    await t.rejects(commit('archive'), { code: 'FST_ORM_UNKNOWN_DATABASE', message: /no database "archive" here: .* "default", "reporting"/ })
    await t.rejects(rollback('archive'), { code: 'FST_ORM_UNKNOWN_DATABASE' })
    await atomic(() => write('atomic'))
    await atomic(async () => {
      await write('lost')
      throw new Error('no')
    }).catch(() => {})
  })
  t.strictSame([await titles(), await inReporting()], [['atomic', 'both'], 3])
})

onEachPool('a commit by hand that succeeds in part is named, and its hooks run neither way', async (t, database) => {
  const { orm: main, titles, another } = database
  const reporting = await withReporting(t)
  const audit = await another({ contextName: 'audit' })
  await refuseCommits(database)
  const ran: string[] = []
  await runInContext({ orm: [reporting, audit, main], name: 'job' }, async () => {
    await em('reporting').insert(Book, { title: 'reporting' })
    await (em('audit') as any).execute('insert into review (book_id) values (99)')
    await em('default').insert(Book, { title: 'main' })
    afterCommit(() => { ran.push('after') })
    afterRollback(() => { ran.push('rollback') })
    await t.rejects(commit(), {
      code: 'FST_ORM_PARTIAL_COMMIT', message: /^job is committed in part: "reporting" committed, "audit", "default" did not/
    })
    await em('default').insert(Book, { title: 'goes on' })
  })
  t.strictSame(ran, [])
  t.strictSame(await titles(), ['goes on'])
})

onEachPool('what a subscriber to the flush of one database changes in another is written too', async (t, { orm: main, titles }) => {
  const reporting = await withReporting(t)
  const titlesOnce = new Set(['main'])
  await runInContext({ orm: [main, reporting] }, async () => {
    em('reporting').create(Book, { title: 'reported' })
    em('reporting').getEventManager().registerSubscriber({ afterFlush () { if (titlesOnce.delete('main')) em().create(Book, { title: 'main' }) } })
    em()
  })
  t.strictSame(await titles(), ['main'])
})

onEachPool('hooks wait for what another database has pending, too', async (t, { orm: main, titles }) => {
  const reporting = await withReporting(t)
  const ran: string[] = []
  await t.rejects(runInContext({ orm: [main, reporting] }, async () => {
    em().create(Book, { title: 'pending' })
    await em('reporting').insert(Book, { title: 'reported' })
    afterCommit(() => { ran.push('afterCommit') })
    afterRollback(() => { ran.push('afterRollback') })
    await commit('reporting')
    t.strictSame(ran, [])
    throw new Error('no')
  }), { message: 'no' })
  t.strictSame(ran, ['afterRollback'])
  t.strictSame(await titles(), [])
})

import type { Loaded } from '@mikro-orm/core'
import { afterCommit, em, runInContext } from '../../../index.ts'
import { startGuards } from '../../../guards.ts'
import { watchEntities } from '../../../lib/extensions/guards/internals.ts'
import { Author, Book, onEachDatabase, onEachPool } from '../../support/databases.ts'
import { here } from '../../support/events.ts'
import { startGuarded, told } from './guarded-server.ts'
import t from 'tap'

type AnAuthor = Loaded<any, any>

onEachDatabase('an entity that leaks out of its context is found where another one uses it', async (t, { orm, titles }) => {
  await orm.em.fork().insertMany(Author, [{ name: 'Jane Austen' }, { name: 'Iris Murdoch' }])
  let leaked: AnAuthor
  const first = here(2)
  const uses: Record<string, () => unknown> = {
    create: () => em().create(Book, { title: 'Emma', author: leaked }),
    persist: () => em().persist(leaked),
    'persist many': () => em().persist([em().create(Book, { title: 'Emma' }, { persist: false }), leaked]),
    'persist by the global one': () => orm.em.persist(leaked),
    remove: () => em().remove(leaked),
    'load more': async () => await leaked.books.loadItems()
  }
  const server = await startGuarded(t, orm, { foreignEntities: 'warn' }, app => {
    app.post('/leak', async () => {
      leaked = await em().findOneOrFail(Author, { name: 'Jane Austen' })
      return 'ok'
    })
    for (const [name, use] of Object.entries(uses)) {
      app.post(`/${name.replaceAll(' ', '-')}`, async () => {
        await em().count(Book)
        await use()
        return 'ok'
      })
    }
    app.post('/right', async () => {
      const author = await em().findOneOrFail(Author, { name: 'Iris Murdoch' })
      await em().transactional(async inner => {
        inner.create(Book, { title: 'Persuasion', author })
        inner.persist(author)
      })
      em().create(Book, { title: 'Sanditon', author: em().getReference(Author, author.id) })
      return 'ok'
    })
  })
  await server.post('/leak')
  for (const [i, name] of Object.keys(uses).entries()) {
    server.log.length = 0
    const path = name.replaceAll(' ', '-')
    await server.post(`/${path}`)
    const [message = 'nothing'] = told(server)
    const [, found] = new RegExp(`POST /${path} uses (?:Author 1 of POST /leak in em\\.\\w+\\(\\) or em.create\\(\\)|an entity of POST /leak, or its EntityManager), at (\\S+)\\. Load`).exec(message) ?? [message]
    t.match(found, new RegExp(first.source.replace(/\d+/, line => String(Number(line) + i))), `${name}: ${message}`)
  }
  server.log.length = 0
  t.equal((await server.post('/right')).status, 200)
  t.strictSame(server.log, [])
  t.ok((await titles()).includes('Sanditon'))
})

onEachDatabase('the call that uses it fails, and so does the context of what is asked later', async (t, { orm, titles }) => {
  t.teardown(startGuards({ foreignEntities: 'error' }))
  await orm.em.fork().insert(Author, { name: 'Jane Austen' })
  const leaked = await runInContext({ orm, name: 'leak' }, () => em().findOneOrFail(Author, { name: 'Jane Austen' }))
  await runInContext({ orm, name: 'use' }, async () => {
    const line = here(1)
    const error = await (async () => em().create(Book, { title: 'Emma', author: leaked }))().catch((error: any) => error)
    t.match(error, { code: 'FST_ORM_GUARD', message: /use uses Author 1 of leak/ })
    t.match(/at (\S+)\. Load/.exec(error.message)![1], line)
  })
  await t.rejects(runInContext({ orm, name: 'use' }, async () => {
    await leaked.books.loadItems()
    await em().insert(Book, { title: 'Emma' })
  }), { code: 'FST_ORM_GUARD' })
  t.strictSame(await titles(), [])
  const own = await orm.em.fork().findOneOrFail(Author, { name: 'Jane Austen' })
  await runInContext({ orm }, async () => { em().create(Book, { title: 'Persuasion', author: own }) })
  t.strictSame(await titles(), ['Persuasion'], 'what is of no context is nobody\'s business')
})

onEachDatabase('what is created after the end is found where it is created', async (t, { orm, titles }) => {
  const lines: RegExp[] = []
  const server = await startGuarded(t, orm, { lostEntities: 'warn' }, app => {
    app.post('/hook', async () => {
      em().create(Book, { title: 'Emma' })
      afterCommit(() => {
        lines.push(here(1))
        em().create(Book, { title: 'lost' })
      })
      return 'ok'
    })
    app.post('/later', async () => {
      em().create(Book, { title: 'Persuasion' })
      afterCommit(async () => {
        const fork = orm.em.fork()
        fork.create(Book, { title: 'by a fork' })
        await fork.flush()
        await runInContext(async () => { em().create(Book, { title: 'in a context' }) })
      })
      return 'ok'
    })
    app.post('/unused', async () => {
      setImmediate(() => {
        lines.push(here(1))
        em().create(Book, { title: 'lost' })
        late.resolve()
      })
      return 'ok'
    })
  })
  const late = Promise.withResolvers<void>()
  await server.post('/hook')
  await server.post('/unused')
  await late.promise
  const found = told(server).map(message => /a new Book is created or persisted at (\S+), when POST \/\w+ has ended/.exec(message)?.[1] ?? message)
  t.match(found, lines)
  t.equal(found.length, 2)
  server.log.length = 0
  await server.post('/later')
  t.strictSame(server.log, [])
  t.strictSame(await titles(), ['Emma', 'Persuasion', 'by a fork', 'in a context'])
})

onEachDatabase('a call after the end fails, also with an EntityManager that was kept', async (t, { orm }) => {
  t.teardown(startGuards({ lostEntities: 'error' }))
  const [kept, book] = await runInContext({ orm, name: 'import' }, async () => {
    const book = em().create(Book, { title: 'Emma' })
    await em().flush()
    return [em(), book] as const
  })
  t.throws(() => kept.create(Book, { title: 'lost' }), { code: 'FST_ORM_GUARD', message: /a new Book is created .*entities\.test\.ts.* when import has ended/ })
  t.throws(() => kept.remove(book), { code: 'FST_ORM_GUARD', message: /Book 1 is removed .* when import has ended/ })
  t.doesNotThrow(() => orm.em.fork().remove(book))
})

t.test('MikroORM has its methods back when the last guard ends', async t => {
  const prototype = { persist: () => 'persisted', remove: () => 'removed' }
  const { persist } = prototype
  const ends = [watchEntities(() => {}, prototype), watchEntities(() => {}, prototype)]
  t.not(prototype.persist, persist)
  ends[0]!()
  ends[0]!()
  t.not(prototype.persist, persist)
  ends[1]!()
  t.equal(prototype.persist, persist)
  const end = watchEntities(() => {}, prototype)
  const others = prototype.persist = () => 'another'
  end()
  t.equal(prototype.persist, others)
  t.throws(() => watchEntities(() => {}, {}), { code: 'FST_ORM_UNSUPPORTED' })
})

onEachDatabase("what a user has forked himself is nobody's, whatever it is given", async (t, { orm }) => {
  t.teardown(startGuards({ foreignEntities: 'error' }))
  await orm.em.fork().insert(Author, { name: 'Jane Austen' })
  const leaked = await runInContext({ orm }, () => em().findOneOrFail(Author, { name: 'Jane Austen' }))
  await runInContext({ orm }, async () => {
    await em().count(Book)
    orm.em.fork().persist(leaked)
    t.throws(() => em().persist(leaked), { code: 'FST_ORM_GUARD' })
  }).catch(error => t.equal(error.code, 'FST_ORM_GUARD'))
  orm.em.fork().persist(leaked)
})

onEachPool('an EntityManager of another context is found by its statements, and outside of contexts nobody is at fault', async (t, { orm }) => {
  t.teardown(startGuards({ foreignEntities: 'error' }))
  const others = Promise.withResolvers<ReturnType<typeof em>>()
  const go = Promise.withResolvers<void>()
  const job = runInContext({ orm }, async () => {
    others.resolve(em())
    await go.promise
  })
  const other = await others.promise
  await t.rejects(runInContext({ orm }, async () => { await other.insert(Author, { name: 'Jane Austen' }) }), { code: 'FST_ORM_GUARD' })
  await other.insert(Author, { name: 'Iris Murdoch' })
  go.resolve()
  await job
})

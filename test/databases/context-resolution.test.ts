import { RequestContext, ValidationError } from '@mikro-orm/core'
import { CreateRequestContext } from '@mikro-orm/decorators/es'
import Fastify from 'fastify'
import contextOrm, { em } from '../../index.ts'
import { Book, onEachDatabase, type Orm } from '../support/databases.ts'
import { startServer } from '../support/server.ts'

/** What `@CreateRequestContext()` does with a method, without the syntax, which type stripping does not know. */
function inRequestContextOfItsOwn<T> (orm: Orm, method: () => Promise<T>): () => Promise<T> {
  return (CreateRequestContext() as any)(method, { kind: 'method', name: 'method' }).bind({ orm })
}

onEachDatabase('orm.em and a repository made at start-up are the request\'s', async (t, { orm, titles }) => {
  const repository = orm.em.getRepository(Book)
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      const first = em().create(Book, { title: 'em()' })
      orm.em.create(Book, { title: 'orm.em' })
      repository.create({ title: 'repository' })
      await orm.em.flush()
      t.equal(orm.em.getContext(), em())
      t.equal(await repository.findOne({ title: 'em()' }), first)
      return 'ok'
    })
    app.post('/fail', async () => {
      await orm.em.insert(Book, { title: 'never' })
      await orm.em.nativeUpdate(Book, {}, { stock: 0 })
      throw new Error('no')
    })
  })
  t.equal((await post('/')).status, 200)
  t.equal((await post('/fail')).status, 500)
  t.strictSame(await titles(), ['em()', 'orm.em', 'repository'])
})

onEachDatabase('@CreateRequestContext inside a request has an EntityManager and a transaction of its own', async (t, { orm, titles }) => {
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      const own = em()
      own.create(Book, { title: 'request' })
      await inRequestContextOfItsOwn(orm, async () => {
        t.not(orm.em.getContext(), own)
        t.equal(em(), orm.em.getContext())
        orm.em.create(Book, { title: 'audit' })
        await orm.em.flush()
      })()
      t.equal(orm.em.getContext(), own)
      t.equal(em(), own)
      throw new Error('no')
    })
  })
  t.equal((await post('/')).status, 500)
  t.strictSame(await titles(), ['audit'])
})

onEachDatabase('a RequestContext around the whole request is warned of', async (t, { orm, titles }) => {
  const { post, log } = await startServer(t, { orm }, app => {
    app.addHook('onRequest', (_request, _reply, done) => { RequestContext.create(orm.em, done) })
    app.post('/', async () => em().create(Book, { title: 'Emma' }))
  })
  t.equal((await post('/')).status, 200)
  t.strictSame(await titles(), [])
  t.match(log, [{ level: 40, msg: /^POST \/: a hook has put the request into a RequestContext .* Remove that hook/ }])
})

onEachDatabase('also if its database is not called default, and in a route that opted out', async (t, { another }) => {
  const orm = await another({ contextName: 'books' })
  const { post } = await startServer(t, { orm }, app => {
    for (const [path, config] of [['/', {}], ['/out', { orm: false }]] as const) {
      app.post(path, { config }, async () => await RequestContext.create(orm.em, async () => {
        t.equal(em(), orm.em.getContext())
        t.equal(em('books'), orm.em.getContext())
        await em().transactional(async inner => { t.equal(em(), inner) })
        return 'ok'
      }))
    }
  })
  t.equal((await post('/')).status, 200)
  t.equal((await post('/out')).status, 200)
})

onEachDatabase('a request inside a RequestContext or a transaction of somebody else\'s has its own', async (t, { orm, titles, kind }) => {
  const seen: unknown[] = []
  const { app } = await startServer(t, { orm }, app => {
    app.post('/', async request => {
      seen.push(em(), request.em)
      t.equal(orm.em.getContext(), em())
      em().create(Book, { title: 'request' })
      await em().transactional(async inner => { t.equal(em(), inner) })
      return 'ok'
    })
  })
  await RequestContext.create(orm.em, async () => {
    const outer = orm.em.getContext()
    t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
    t.equal(orm.em.getContext(), outer)
  })
  t.strictSame(await titles(), ['request'])
  if (kind === 'sqlite') return // has one connection, which the transaction would hold
  await orm.em.fork().transactional(async outer => {
    seen.length = 0
    await outer.insert(Book, { title: 'rolled back by the test' })
    t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 409, 'the title is taken')
    t.equal(seen.length, 2)
    t.notOk(seen.includes(outer))
    throw new Error('roll back')
  }).catch(() => {})
  t.strictSame(await titles(), ['request'])
})

onEachDatabase('two apps may share a MikroORM, and closing them restores what was there before', async (t, { orm }) => {
  const before = orm.config.get('context')
  const seen: unknown[] = []
  const build = async (): Promise<ReturnType<typeof Fastify>> => {
    const app = Fastify()
    app.register(contextOrm, { orm })
    app.get('/', async () => {
      seen.push(orm.em.getContext())
      return 'ok'
    })
    await app.ready()
    return app
  }
  const [first, second] = [await build(), await build()]
  await first.inject('/')
  await first.close()
  await second.inject('/')
  t.equal(new Set([...seen, orm.em]).size, 3, 'each request has had its own')
  await second.close()
  t.equal(orm.config.get('context'), before)
  for (const method of ['begin', 'commit', 'transactional']) t.notOk(Object.hasOwn(orm.em, method), method)
  t.ok(await orm.isConnected(), 'and what was passed in is not closed')
})

onEachDatabase('outside a context, em() says what to do and the global EntityManager stays protected', async (t, { orm }) => {
  await startServer(t, { orm }, () => {})
  t.throws(() => em(), { code: 'FST_ORM_NO_CONTEXT', message: /em\(\) outside a context: no request that .* inside runInContext\(\)/ })
  await t.rejects(orm.em.find(Book, {}), ValidationError)
  await orm.em.fork().insert(Book, { title: 'Emma' })
  t.equal(await RequestContext.create(orm.em, () => orm.em.count(Book)), 1)
  await RequestContext.create(orm.em, () => orm.em.transactional(async inner => { await inner.insert(Book, { title: 'Persuasion' }) }))
  t.equal(await orm.em.fork().count(Book), 2)
})

onEachDatabase('an EntityManager stays its own when another context uses it', async (t, { orm, titles }) => {
  let leaked: ReturnType<typeof em> | undefined
  const leak = Promise.withResolvers<void>()
  const used = Promise.withResolvers<void>()
  const { post } = await startServer(t, { orm }, app => {
    app.post('/leaking', async () => {
      leaked = em()
      leak.resolve()
      await used.promise
      throw new Error('no')
    })
    app.post('/using', async () => {
      leaked!.create(Book, { title: 'leaked' })
      em().create(Book, { title: 'own' })
      t.not(leaked!.getContext(), em())
      return 'ok'
    })
  })
  const leaking = post('/leaking')
  await leak.promise
  t.equal((await post('/using')).status, 200)
  used.resolve()
  t.equal((await leaking).status, 500)
  t.strictSame(await titles(), ['own'])
})

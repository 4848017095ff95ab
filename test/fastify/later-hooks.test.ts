import type { FastifyInstance } from 'fastify'
import { em } from '../../index.ts'
import { Book, onEveryEngine } from '../support/databases.ts'
import { startServer } from '../support/server.ts'

const HOOKS = ['onSend', 'preSerialization'] as const

/** A hook of a child plugin, of the app but added after the plugin, and of the route itself. */
function declareLaterHooks (hook: () => Promise<void>): (app: FastifyInstance) => void {
  return app => {
    const handler = async (): Promise<object> => {
      await em().insert(Book, { title: 'handler' })
      return { ok: true }
    }
    for (const kind of HOOKS) {
      app.register(async child => {
        child.addHook(kind as 'onSend', hook)
        child.post(`/${kind}/child`, handler)
      })
      app.post(`/${kind}/route`, { [kind]: hook }, handler)
      app.post(`/${kind}/route-with-two`, { [kind]: [async () => {}, hook] }, handler)
    }
  }
}

/** `app.register(contextOrm)` without `await`, and then the routes, is as common as the other way. */
const WHEN = {
  'after the plugin has loaded': (declare: Declare): [Declare, Declare] => [declare, () => {}],
  before: (declare: Declare): [Declare, Declare] => [() => {}, declare]
}

type Declare = (app: FastifyInstance) => void
const TIMES = Object.keys(WHEN) as (keyof typeof WHEN)[]

for (const when of TIMES) {
  onEveryEngine(`a later hook that throws leaves nothing written, its route declared ${when}`, async (t, { orm, titles }) => {
    const declare = declareLaterHooks(async () => { throw new Error('later') })
    const { post } = await startServer(t, { orm }, ...WHEN[when](declare))
    for (const path of HOOKS.flatMap(kind => [`/${kind}/child`, `/${kind}/route`, `/${kind}/route-with-two`])) {
      const response = await post(path)
      t.equal(response.status, 500, path)
      t.match(await response.json(), { message: 'later' })
      t.strictSame(await titles(), [], path)
    }
  })

  onEveryEngine(`what a later hook writes is committed with the rest, its route declared ${when}`, async (t, { orm, titles }) => {
    let count = 0
    const declare = declareLaterHooks(async () => { em().create(Book, { title: `hook ${++count}` }) })
    const { post } = await startServer(t, { orm }, ...WHEN[when](declare))
    for (const path of HOOKS.flatMap(kind => [`/${kind}/child`, `/${kind}/route`, `/${kind}/route-with-two`])) {
      t.equal((await post(path)).status, 200, path)
      t.strictSame(await titles(), ['handler', `hook ${count}`], path)
      await orm.em.fork().nativeDelete(Book, {})
    }
  })
}

onEveryEngine('a later hook may be the first to use the database', async (t, { orm, titles }) => {
  const { post } = await startServer(t, { orm }, app => {
    app.addHook('onSend', async () => { em().create(Book, { title: 'audit' }) })
    app.post('/', async () => ({ ok: true }))
  })
  t.equal((await post('/')).status, 200)
  t.strictSame(await titles(), ['audit'])
})

onEveryEngine('onError and onResponse hooks may read, and are refused to write', async (t, { orm, titles }) => {
  const seen: unknown[] = []
  const responded = Promise.withResolvers<void>()
  const { post } = await startServer(t, { orm }, app => {
    app.addHook('onError', async request => {
      seen.push(await request.em.count(Book))
      await request.em.insert(Book, { title: 'audit' }).catch(error => seen.push(error.code))
    })
    app.addHook('onResponse', async request => {
      seen.push(await em().count(Book))
      await em().insert(Book, { title: 'audit' }).catch(error => seen.push(error.code))
      if (request.url === '/ok') responded.resolve()
    })
    app.post('/error', async () => {
      await em().insert(Book, { title: 'Emma' })
      throw new Error('no')
    })
    app.post('/ok', async () => {
      await em().insert(Book, { title: 'Emma' })
      return 'ok'
    })
  })
  await post('/error')
  await post('/ok')
  await responded.promise
  t.strictSame(seen, [0, 'FST_ORM_CONTEXT_ENDED', 0, 'FST_ORM_CONTEXT_ENDED', 1, 'FST_ORM_CONTEXT_ENDED'])
  t.strictSame(await titles(), ['Emma'])
})

onEveryEngine('what shouldCommit, a hook or whoever goes on after the reply has changed last is written', async (t, { orm, observe }) => {
  const rename = async (suffix: string): Promise<void> => { (await em().findOneOrFail(Book, 1)).title = `title by ${suffix}` }
  await orm.em.fork().insert(Book, { id: 1, title: 'Emma' })
  const { get } = await startServer(t, {
    orm,
    async shouldCommit (request) {
      if (request.url === '/shouldCommit') await rename('shouldCommit')
      return true
    }
  }, app => {
    app.get('/shouldCommit', async () => await em().findOneOrFail(Book, 1))
    app.get('/onSend', { onSend: async () => { await rename('onSend') } }, async () => await em().findOneOrFail(Book, 1))
    app.get('/preSerialization', { preSerialization: async () => { await rename('preSerialization') } }, async () => await em().findOneOrFail(Book, 1))
    app.get('/send', async (_request, reply) => {
      const book = await em().findOneOrFail(Book, 1)
      reply.send({ title: book.title })
      book.title = 'title by send'
      return reply
    })
    app.get('/finally', async (_request, reply) => {
      const book = await em().findOneOrFail(Book, 1)
      try {
        return reply.send({ title: book.title })
      } finally {
        book.title = 'title by finally'
      }
    })
    app.get('/serializer', async (_request, reply) => {
      const book = await em().findOneOrFail(Book, 1)
      reply.serializer(() => {
        book.title = 'title by serializer'
        return 'ok'
      })
      return { ok: true }
    })
    app.get('/string', async () => {
      await rename('string')
      return 'ok'
    })
  })
  for (const path of ['shouldCommit', 'onSend', 'preSerialization', 'send', 'finally', 'serializer', 'string']) {
    t.equal((await get(`/${path}`)).status, 200)
    t.strictSame(await observe('select title from book'), [{ title: `title by ${path}` }])
  }
})

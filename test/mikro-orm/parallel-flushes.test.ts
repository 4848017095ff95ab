import type { EventSubscriber } from '@mikro-orm/core'
import { em } from '../../index.ts'
import { Book, onEveryEngine } from '../support/databases.ts'
import { startServer } from '../support/server.ts'

onEveryEngine('a flush behind one that fails is answered, and so is the request', async (t, { orm, titles }) => {
  const { post } = await startServer(t, { orm }, app => {
    app.post('/unawaited', async () => {
      em().create(Book, { title: 'Emma' })
      em().create(Book, { title: 'Emma' })
      em().flush().catch(() => {})
      return { ok: true }
    })
    app.post('/both', async () => {
      em().create(Book, { title: 'Emma' })
      em().create(Book, { title: 'Emma' })
      const [first, second] = await Promise.allSettled([em().flush(), orm.em.flush()])
      return { first: first.status, second: second.status }
    })
  })
  t.match(await (await post('/unawaited')).json(), { statusCode: 409 }, 'with what has made them fail')
  t.match(await (await post('/both')).json(), { statusCode: 500, code: 'FST_ORM_TRANSACTION_FAILED' })
  t.strictSame(await titles(), [])
})

onEveryEngine('a flush that fails between its statements is not committed in half', async (t, { orm, titles }) => {
  orm.em.getEventManager().registerSubscriber({
    afterCreate ({ entity }) { if ((entity as { title: string }).title === 'Persuasion') throw new Error('in the middle') }
  })
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      em().create(Book, { title: 'Emma' })
      em().create(Book, { title: 'Persuasion' })
      await em().flush().catch(() => {})
      return 'ok'
    })
    app.post('/before', async () => {
      await em().insert(Book, { title: 'Ulysses' })
      em().create(Book, {} as any)
      await em().flush().catch(() => {}) // fails before it writes anything
      return 'ok'
    })
  })
  t.match(await (await post('/')).json(), { code: 'FST_ORM_TRANSACTION_FAILED' })
  t.strictSame(await titles(), [])
  t.equal((await post('/before')).status, 200)
  t.strictSame(await titles(), ['Ulysses'])
})

onEveryEngine('flushes in parallel write everything once', async (t, { orm, titles }) => {
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      await Promise.all(['a', 'b', 'c'].map(async title => {
        em().create(Book, { title })
        await em().flush()
      }))
      return 'ok'
    })
  })
  t.equal((await post('/')).status, 200)
  t.strictSame(await titles(), ['a', 'b', 'c'])
})

onEveryEngine('a flush from within a flush is the error that MikroORM makes of it', async (t, { orm }) => {
  const subscriber: EventSubscriber = { async onFlush () { await em().flush() } }
  orm.em.getEventManager().registerSubscriber(subscriber)
  const { failure, post } = await startServer(t, { orm }, app => {
    app.post('/', async () => em().create(Book, { title: 'Emma' }))
  })
  t.match(await failure(post('/')), { statusCode: 500, message: /flush.*inside|cannot.*flush|inside.*flush/i })
})

import { em } from '../index.ts'
import { Book, onEachDatabase } from './support/databases.ts'
import { startServer } from './support/server.ts'

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

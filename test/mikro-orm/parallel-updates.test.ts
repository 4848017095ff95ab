import { setImmediate } from 'node:timers/promises'
import { defineEntity, p } from '@mikro-orm/sqlite'
import { em, runInContext } from '../../index.ts'
import { Book, onEachDatabase } from '../support/databases.ts'
import { startServer } from '../support/server.ts'

onEachDatabase('what changes an entity while a flush updates it is updated by the next flush', async (t, { orm, observe }) => {
  const { post } = await startServer(t, { orm }, app => {
    app.post('/parallel', async () => {
      const book = await em().findOneOrFail(Book, { title: 'Emma' })
      await Promise.all([1, 2, 3].map(async turn => {
        for (let i = 0; i < turn; i++) await setImmediate()
        book.stock -= 1
        await em().flush()
      }))
      return { ok: true }
    })
    app.post('/unflushed', async () => {
      const book = await em().findOneOrFail(Book, { title: 'Emma' })
      book.stock -= 1
      const flushing = em().flush()
      await setImmediate()
      book.stock -= 1
      await flushing
      return { stock: book.stock }
    })
  })
  await orm.em.fork().insert(Book, { title: 'Emma', stock: 10 })
  t.equal((await post('/parallel')).status, 200)
  t.strictSame(await observe('select stock from book'), [{ stock: 7 }])
  t.strictSame(await (await post('/unflushed')).json(), { stock: 5 })
  t.strictSame(await observe('select stock from book'), [{ stock: 5 }])
})

const Article = defineEntity({
  name: 'Article',
  properties: {
    id: p.integer().primary(),
    title: p.string(),
    slug: p.string().nullable(),
    body: p.json<{ words: string[] }>().nullable(),
    version: p.integer().version(),
    updatedAt: p.datetime().onUpdate(() => new Date()).nullable()
  },
  hooks: { beforeUpdate: [({ entity }) => { entity.slug = `${entity.title}-of-hook` }] }
})

onEachDatabase('what a flush changes by itself is no change of anybody\'s', async (t, { another, sent }) => {
  const orm = await another({ entities: [Article] })
  await orm.schema.update()
  await runInContext({ orm }, () => { em().create(Article, { title: 'first', body: { words: [] } }) })
  await runInContext({ orm }, async () => {
    const article = await em().findOneOrFail(Article, 1)
    sent.length = 0
    article.title = 'second'
    article.body = { words: ['a'] }
    await em().flush()
    await em().flush()
  })
  t.equal(sent.filter(sql => sql.startsWith('update')).length, 1)
  t.match(await orm.em.fork().findOneOrFail(Article, 1), { title: 'second', slug: 'second-of-hook', body: { words: ['a'] }, version: 2 })
})

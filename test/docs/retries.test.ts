import Fastify from 'fastify'
import t from 'tap'
import contextOrm from '../../index.ts'
import { writeSnippets } from '../support/docs.ts'

const { load } = await writeSnippets(t)

t.test('a handler, a job and an atomic() of the page about retries are run again', async t => {
  const { orm, Book } = await load('orm.ts')
  t.teardown(() => orm.close())
  await orm.schema.create()
  await orm.em.fork().insertMany(Book, [{ title: 'Emma' }, { title: 'Persuasion' }])
  const { stockRoutes, moveLater, moveNow } = await load('transfer.ts')
  let failing = 3
  orm.em.getEventManager().registerSubscriber({
    beforeFlush () {
      if (failing === 0) return
      failing--
      throw Object.assign(new Error('database is locked'), { code: 'SQLITE_BUSY' })
    }
  })
  const app = Fastify()
  app.register(contextOrm, { orm })
  app.register(stockRoutes)
  t.equal((await app.inject({ method: 'POST', url: '/move/1/2' })).statusCode, 200)
  failing = 2
  await moveLater(1, 2)
  failing = 2
  await moveNow(2, 1)
  t.equal(failing, 0, 'each has failed before')
  t.match(await orm.em.fork().find(Book, {}, { orderBy: { id: 'asc' } }), [{ stock: 2 }, { stock: 4 }])
  await app.close()
})

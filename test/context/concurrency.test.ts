import { em } from '../../index.ts'
import { Book, onEachDatabase } from '../support/databases.ts'
import { startServer } from '../support/server.ts'

onEachDatabase('50 requests at once on a pool of 5 see each its own EntityManager, and half of them are written', async (t, { orm, titles, taken }) => {
  const seen = new Map<string, unknown>()
  const { post } = await startServer(t, { orm }, app => {
    app.post('/:number', async request => {
      const { number } = request.params as { number: string }
      const own = em()
      seen.set(number, own)
      await em().count(Book)
      const book = em().create(Book, { title: `book ${number.padStart(2, '0')}` })
      await em().flush()
      await new Promise(resolve => setImmediate(resolve))
      t.equal(em(), own)
      t.equal(request.em, own)
      t.equal(orm.em.getContext(), own)
      t.strictSame([...em().getUnitOfWork().getIdentityMap().values()], [book], 'nobody else\'s entity')
      if (Number(number) % 2 === 1) throw new Error('odd')
      return book
    })
  })
  const responses = await Promise.all(Array.from({ length: 50 }, (_, number) => post(`/${number}`)))
  t.strictSame(responses.map(({ status }) => status), Array.from({ length: 50 }, (_, number) => number % 2 === 1 ? 500 : 200))
  t.equal(new Set(seen.values()).size, 50)
  t.strictSame(await titles(), Array.from({ length: 25 }, (_, i) => `book ${String(2 * i).padStart(2, '0')}`))
  t.equal(taken(), 0)
})

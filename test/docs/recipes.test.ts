import Fastify from 'fastify'
import t from 'tap'
import contextOrm from '../../index.ts'
import { writeSnippets } from '../support/docs.ts'
import { until } from '../support/until.ts'

const { load } = await writeSnippets(t)

t.test('the recipes do what they say', async t => {
  const { orm } = await load('orm.ts')
  await orm.schema.create()
  const { order, add } = await load('book-service.ts')
  const { addOrFind } = await load('add-or-find.ts')
  const { restockLater } = await load('later.ts')

  const app = Fastify()
  app.setErrorHandler((await load('error-handler.ts')).handleError)
  app.register(contextOrm, { orm })
  app.register((await load('reports.ts')).reportRoutes)
  app.get('/export', (await load('export.ts')).exportBooks)
  app.post('/add/:title', async request => add((request.params as any).title))
  app.post('/addOrFind/:title', async request => addOrFind((request.params as any).title))
  app.post('/order/:id', async request => order((request.params as any).id))
  app.post('/restock', async request => {
    restockLater(request)
    return { ok: true }
  })
  const post = async (url: string): Promise<[number, any]> => {
    const { statusCode, payload } = await app.inject({ method: 'POST', url })
    return [statusCode, JSON.parse(payload)]
  }
  const get = async (url: string): Promise<unknown> => (await app.inject(url)).json()

  t.match(await post('/add/Emma'), [200, { id: 1, title: 'Emma', stock: 3 }])
  t.strictSame(await post('/add/Emma'), [409, { message: 'There is one already' }])
  t.match(await post('/addOrFind/Emma'), [200, { id: 1 }])
  t.match(await post('/addOrFind/Persuasion'), [200, { title: 'Persuasion' }])
  for (const stock of [2, 1, 0]) t.match(await post('/order/1'), [200, { stock }])
  t.match(await post('/order/1'), [409, { message: '"Emma" is sold out' }])
  t.strictSame(await post('/order/99'), [404, { statusCode: 404, error: 'Not Found', message: 'Not Found' }])
  t.strictSame(await get('/report'), { books: 2, missing: 1 })
  t.strictSame(await get('/health'), { ok: true })
  t.strictSame(await post('/restock'), [200, { ok: true }])
  await until(async () => (await get('/report') as any).missing === 0)
  const { headers, payload } = await app.inject('/export')
  t.equal(headers['content-type'], 'application/x-ndjson')
  t.strictSame(payload.trim().split('\n').map(line => JSON.parse(line).title), ['Emma', 'Persuasion'])
  await app.close()
})

t.test('the recipe with several databases does what it says', async t => {
  const app = await (await load('several.ts')).buildShop()
  t.teardown(() => app.close())
  t.match((await app.inject({ method: 'POST', url: '/' })).json(), { id: 1, title: 'Emma' })
  t.strictSame((await app.inject('/')).json(), { main: 1, archive: 1 })
})

t.test('what is written by hand has the faults that the README says', async t => {
  const { orm, Book } = await load('orm.ts')
  await orm.schema.refresh()
  await orm.em.fork().insert(Book, { title: 'Emma', stock: 0 })
  const app = Fastify()
  t.teardown(() => app.close())
  app.register((await load('by-hand.ts')).byHand)
  const added = await app.inject({ method: 'POST', url: '/books', payload: { title: 'Persuasion' } })
  t.equal(added.statusCode, 200)
  t.notOk('id' in added.json(), 'a reply without its id')
  const refused = await app.inject({ method: 'POST', url: '/books/1/order' })
  t.equal(refused.statusCode, 409)
  t.equal((await orm.em.fork().findOneOrFail(Book, 1)).stock, -1, 'and a 409 that stays written')
  await orm.close()
})

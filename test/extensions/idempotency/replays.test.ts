import { randomUUID } from 'node:crypto'
import { em } from '../../../index.ts'
import { Book, onEveryEngine } from '../../support/databases.ts'
import { ONCE, startKeyedServer, withKeys } from './keyed-server.ts'

onEveryEngine('a request that is sent again happens once, and gets the same reply', async (t, database) => {
  const { titles } = database
  const { post } = await startKeyedServer(t, { orm: await withKeys(database) }, app => {
    app.post('/', { config: ONCE }, async (request, reply) => {
      reply.code(201).header('x-handler', 'yes').header('location', '/books/1')
      return em().create(Book, request.body as any)
    })
  })
  const key = randomUUID()
  const first = await post('/', key, { title: 'Emma' })
  t.match(first.json, { id: 1, title: 'Emma' })
  t.equal(first.headers.get('idempotency-replayed'), null)
  for (const again of [await post('/', key, { title: 'Emma' }), await post('/', `"${key}"`, { title: 'Emma' })]) {
    t.equal(again.status, 201)
    t.equal(again.body, first.body)
    t.equal(again.headers.get('idempotency-replayed'), 'true')
    for (const name of ['content-type', 'content-length', 'location', 'x-handler']) t.equal(again.headers.get(name), first.headers.get(name), name)
  }
  t.strictSame(await titles(), ['Emma'])
  t.equal((await post('/', randomUUID(), { title: 'Persuasion' })).status, 201)
  t.equal((await post('/', undefined, { title: 'no key' })).status, 201)
  t.strictSame(await titles(), ['Emma', 'Persuasion', 'no key'])
})

import { EventSource } from 'eventsource'
import Fastify from 'fastify'
import { EventEmitter, once } from 'node:events'
import t from 'tap'
import { WebSocket } from 'ws'
import contextOrm from '../../index.ts'
import { writeSnippets } from '../support/docs.ts'

const { load } = await writeSnippets(t)

t.test('what the docs say of sockets is so', async t => {
  const { orm, Book } = await load('orm.ts')
  t.teardown(() => orm.close())
  await orm.schema.drop()
  await orm.schema.create()
  const shop = new EventEmitter()
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(contextOrm, { orm })
  await app.register((await load('book-socket.ts')).bookSocket)
  await app.register((await load('book-events.ts')).bookEvents, { shop })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })

  const socket = new WebSocket(`${url.replace('http', 'ws')}/books/socket`)
  await once(socket, 'open')
  const add = async (title: string): Promise<unknown> => {
    socket.send(title)
    return JSON.parse(String((await once(socket, 'message'))[0]))
  }
  t.strictSame(await add('Emma'), { id: 1, title: 'Emma', stock: 3 })
  t.strictSame(await add('Emma'), { error: 'Not added' })
  t.match(await add('Persuasion'), { title: 'Persuasion' })

  const events = new EventSource(`${url}/books/events`)
  t.teardown(() => events.close())
  await once(events, 'open')
  for (const stock of [2, 1]) {
    await orm.em.fork().nativeUpdate(Book, { id: 1 }, { stock })
    const sold = once(events, 'message')
    shop.emit('sold', 1)
    t.match(JSON.parse((await sold)[0].data), { title: 'Emma', stock }, 'as it is by then')
  }
  events.addEventListener('error', () => events.close())
  await Promise.all([once(socket, 'close'), app.close()])
  t.equal(shop.listenerCount('sold'), 0)
})

import Fastify, { type FastifyInstance } from 'fastify'
import { once } from 'node:events'
import { connect } from 'node:http2'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { setTimeout } from 'node:timers/promises'
import contextOrm, { em } from '../../index.ts'
import { Book, onEachDatabase } from '../support/databases.ts'
import { startServer } from '../support/server.ts'

const failing = (): Readable => new Readable({ read () { this.destroy(new Error('no')) } })

/** For longer than a commit waits for the first chunk. */
const failingLate = (): Readable => Readable.from((async function * () {
  await setTimeout(200)
  throw new Error('no')
})())

async function write (): Promise<Readable> {
  await em().insert(Book, { title: 'Emma' })
  return failingLate()
}

onEachDatabase('a reply that fails after the commit breaks the connection, and is no error that takes nothing back', async (t, { orm, titles, taken }) => {
  const { get, log } = await startServer(t, { orm }, app => {
    app.get('/', write)
  })
  await t.rejects(get('/'), { message: 'fetch failed' })
  t.match(log, [{ level: 50, msg: /^GET \/: the reply has failed after the commit/, err: { message: 'no' } }])
  t.strictSame(await titles(), ['Emma'])
  t.equal(taken(), 0)
})

onEachDatabase('a reply that fails after nothing but reads is an ordinary error', async (t, { orm }) => {
  const { get } = await startServer(t, { orm }, app => {
    app.get('/read', async () => {
      await em().count(Book)
      return failing()
    })
    app.get('/untouched', async () => failing())
  })
  for (const path of ['/read', '/untouched']) t.match(await (await get(path)).json(), { statusCode: 500, message: 'no' })
})

onEachDatabase('on HTTP/2, a reply that fails after the commit breaks its stream', async (t, { orm, titles }) => {
  const app = Fastify({ http2: true }) as unknown as FastifyInstance
  t.teardown(() => app.close())
  await app.register(contextOrm, { orm })
  app.get('/', write)
  app.get('/next', async () => 'ok')
  const client = connect(await app.listen({ host: '127.0.0.1', port: 0 }))
  t.teardown(() => client.close())
  const [error] = await once(client.request({ ':path': '/' }), 'error').catch(error => [error])
  t.match(error, { code: 'ERR_HTTP2_STREAM_ERROR' })
  t.equal(await text(client.request({ ':path': '/next' })), 'ok', 'and no other')
  t.strictSame(await titles(), ['Emma'])
})

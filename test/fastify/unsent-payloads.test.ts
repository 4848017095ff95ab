import compress from '@fastify/compress'
import etag from '@fastify/etag'
import { once } from 'node:events'
import { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { em } from '../../index.ts'
import { Book, onEachDatabase } from '../support/databases.ts'
import { startServer } from '../support/server.ts'

type Declare = (app: FastifyInstance) => void

const SIZES = { small: 'a'.repeat(20), compressed: 'a'.repeat(5000), streamed: 'a'.repeat(500_000) }

const declarePlugins: Declare = app => {
  app.register(compress, { threshold: 1000, syncThreshold: 10_000 })
  app.register(etag)
}

const routes = (payloads: unknown[]): Declare => app => {
  app.register(async app => {
    app.addHook('onSend', async (_request, _reply, payload) => { payloads.push(payload) })
    for (const [size, text] of Object.entries(SIZES)) {
      app.get(`/${size}/flush`, async () => {
        for (let i = 0; i < 2; i++) em().create(Book, { title: 'twice' })
        return text
      })
      app.get(`/${size}/hook`, { onSend: async (_request, reply) => { if (reply.statusCode < 400) throw new Error('no') } }, async () => text)
      app.get(`/${size}/good`, async () => {
        em().create(Book, { title: size })
        return text
      })
    }
  })
}

const ORDERS: Record<string, (payloads: unknown[]) => [Declare, Declare]> = {
  before: payloads => [routes(payloads), declarePlugins],
  after: payloads => [app => {
    app.register(fp(async app => { declarePlugins(app) }))
    routes(payloads)(app)
  }, () => {}]
}

for (const [when, order] of Object.entries(ORDERS)) {
  onEachDatabase(`what plugins registered ${when} have made of a payload is not said of the error that is sent instead`, async (t, { orm, titles }) => {
    const payloads: any[] = []
    const { app } = await startServer(t, { orm }, ...order(payloads))
    const get = (path: string, encoding: string): Promise<Response> => fetch(app.listeningOrigin + path, { headers: { 'accept-encoding': encoding } })
    for (const encoding of ['gzip', 'br', 'identity']) {
      for (const [size, body] of Object.entries(SIZES)) {
        for (const [end, status, message] of [['flush', 409, 'Conflict'], ['hook', 500, 'no']] as const) {
          payloads.length = 0
          const response = await get(`/${size}/${end}`, encoding)
          const text = await response.text()
          t.equal(response.status, status, `${size} ${end} ${encoding}`)
          t.match(JSON.parse(text), { message })
          t.strictSame([response.headers.get('content-encoding'), response.headers.get('last-modified')], [null, null])
          t.equal(response.headers.get('content-length'), String(Buffer.byteLength(text)))
          const another = await (await get(`/${size}/good`, encoding)).text()
          t.equal(another, body, 'and a good reply is compressed as ever')
          await orm.em.fork().nativeDelete(Book, {})
        }
      }
    }
    t.strictSame(await titles(), [])
  })
}

onEachDatabase('a web stream that is not sent is cancelled', async (t, { orm }) => {
  const cancelled = Promise.withResolvers<void>()
  const { get } = await startServer(t, { orm }, app => {
    app.get('/', async () => {
      for (let i = 0; i < 2; i++) em().create(Book, { title: 'twice' })
      return new ReadableStream({ cancel: () => cancelled.resolve() })
    })
  })
  t.equal((await get('/')).status, 409)
  await cancelled.promise
  t.pass('cancelled')
})

onEachDatabase('a stream that is not sent, since its reply cannot be committed, is destroyed', async (t, { orm }) => {
  const streams: Readable[] = []
  const { get } = await startServer(t, { orm }, app => {
    app.get('/', async () => {
      for (let i = 0; i < 2; i++) em().create(Book, { title: 'twice' })
      const stream = new Readable({ read () {} })
      streams.push(stream)
      return stream
    })
    app.get('/compressed', {
      async onSend (_request, reply) {
        if (reply.statusCode >= 400) return
        const stream = new Readable({ read () {} })
        streams.push(stream)
        return stream
      }
    }, async () => {
      for (let i = 0; i < 2; i++) em().create(Book, { title: 'twice' })
      return 'ok'
    })
  })
  for (const path of ['/', '/compressed']) {
    t.equal((await get(path)).status, 409)
    const stream = streams.pop()!
    if (!stream.closed) await once(stream, 'close')
    t.equal(stream.destroyed, true)
  }
})

import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { PassThrough, Readable, Stream } from 'node:stream'
import { createGzip, gunzipSync } from 'node:zlib'
import { em } from '../../index.ts'
import { Book, onEachDatabase } from '../support/databases.ts'
import { takesOtherWebStreams, waitsForTrailers } from '../support/fastify-features.ts'
import { startServer } from '../support/server.ts'
import { watchStrayErrors } from '../support/stray-errors.ts'
import { until } from '../support/until.ts'
import { startServers } from '../support/ways-to-send.ts'

/** Each as it is when nothing has read from it. */
const FAILING: Record<string, () => unknown> = {
  generator: () => Readable.from(failing()),
  'generator that queries': () => Readable.from(failingQuery()),
  file: () => createReadStream('/no/such/file'),
  'stream that fails later': () => {
    const stream = new PassThrough()
    setImmediate(() => stream.destroy(new Error('no')))
    return stream
  },
  'stream that fails with its first chunk': () => new Readable({
    read () {
      this.push('half')
      this.destroy(new Error('no'))
    }
  }),
  'stream that was destroyed': () => new PassThrough().destroy(),
  'web stream': () => new ReadableStream({ pull: controller => controller.error(new Error('no')) }),
  'web stream that fails without a word': () => new ReadableStream({ pull: controller => controller.error() }),
  Response: () => new Response(new ReadableStream({ async pull () { throw new Error('no') } })),
  'stream that nobody could listen to': () => ({ pipe () {} })
}

async function * failing (): AsyncGenerator<string> {
  throw new Error('no')
}

async function * failingQuery (): AsyncGenerator<string> {
  await (em() as any).execute('select * from no_such_table')
}

onEachDatabase('a stream that fails before its first chunk is an error, and leaves nothing written', async (t, { orm, titles, taken }) => {
  const assertNoStrayErrors = watchStrayErrors(t)
  const servers = await startServers(t, { orm }, app => {
    app.get('/:stream', async request => {
      const { stream } = request.params as { stream: string }
      em().create(Book, { title: stream })
      return FAILING[stream]!()
    })
  })
  for (const { name, send } of servers) {
    for (const stream of Object.keys(FAILING)) t.equal((await send(`/${encodeURIComponent(stream)}`)).status, 500, `${stream}, ${name}`)
  }
  t.strictSame(await titles(), [])
  t.equal(taken(), 0)
  await assertNoStrayErrors()
})

const OTHER_WEB_STREAM = 'a web stream that is not Node\'s'

/** Each with 'one' and 'two', and of which the client gets what it gets of Fastify. */
const WHOLE: Record<string, () => unknown> = {
  'an array': () => Readable.from(['one', 'two']),
  'a generator': () => Readable.from(chunks()),
  'a file': () => createReadStream(new URL('../support/one-two.txt', import.meta.url)),
  'a PassThrough that is written to': () => {
    const stream = new PassThrough()
    stream.write('one')
    setImmediate(() => stream.end('two'))
    return stream
  },
  'a stream that is paused': () => Readable.from(['one', 'two']).pause(),
  'a stream that flows': () => {
    const stream = new PassThrough()
    stream.resume()
    return oncePiped(stream, () => stream.end('onetwo')) // before that, it would flow away
  },
  'an old stream': () => {
    const stream = Object.assign(new Stream(), { readable: true, destroy () {} })
    return oncePiped(stream, () => {
      stream.emit('data', 'one')
      stream.emit('data', 'two')
      stream.emit('end')
      stream.emit('close')
    })
  },
  'a web stream': () => ReadableStream.from([Buffer.from('one'), Buffer.from('two')]),
  'a web stream of text': () => new ReadableStream({
    start (controller) {
      controller.enqueue('one')
      controller.enqueue('two')
      controller.close()
    }
  }),
  'a web stream of bytes': () => new ReadableStream({
    type: 'bytes',
    start (controller) {
      controller.enqueue(new TextEncoder().encode('onetwo'))
      controller.close()
    }
  }),
  [OTHER_WEB_STREAM]: () => {
    const stream = new Response('onetwo').body!
    return { getReader: () => stream.getReader() }
  },
  'a Response': () => new Response(ReadableStream.from([Buffer.from('one'), Buffer.from('two')]))
}

/** Runs `callback` when somebody has begun to read, as Fastify does when the headers are out. */
function oncePiped<S extends Stream> (stream: S, callback: () => void): S {
  const { pipe } = stream
  return Object.assign(stream, {
    pipe (...args: Parameters<typeof pipe>) {
      setImmediate(callback)
      return pipe.apply(stream, args)
    }
  })
}

async function * chunks (): AsyncGenerator<string> {
  yield 'one'
  yield 'two'
}

onEachDatabase('every other stream arrives whole, and after the commit', async (t, { orm, titles, taken }) => {
  const servers = await startServers(t, { orm }, app => {
    app.get('/:stream/:way', async request => {
      const { stream, way } = request.params as { stream: string, way: string }
      em().create(Book, { title: `${stream} ${way}` })
      return WHOLE[stream]!()
    })
  })
  for (const [way, { name, send }] of servers.entries()) {
    for (const stream of Object.keys(WHOLE)) {
      if (stream === OTHER_WEB_STREAM && !takesOtherWebStreams) continue
      t.strictSame(await send(`/${encodeURIComponent(stream)}/${way}`), { status: 200, body: 'onetwo' }, `${stream}, ${name}`)
      t.ok((await titles()).includes(`${stream} ${way}`))
    }
  }
  t.equal(taken(), 0)
})

onEachDatabase('one that has nothing to send is sent', async (t, { orm, titles }) => {
  const { get } = await startServer(t, { orm }, app => {
    app.addHook('preHandler', async request => { em().create(Book, { title: request.url }) })
    app.get('/empty', async () => Readable.from([]))
    app.get('/ended', async () => new PassThrough().end())
    app.get('/web', async () => ReadableStream.from([]))
    app.get('/read', async () => {
      const stream = Readable.from(['one'])
      await stream.resume().toArray().catch(() => {})
      return stream
    })
    app.get('/no-content', async (_request, reply) => reply.code(204).send(Readable.from(failing())))
    app.get('/no-body', async () => new Response(null, { status: 201 }))
  })
  for (const [path, status] of [['/empty', 200], ['/ended', 200], ['/web', 200], ['/read', 200], ['/no-content', 204], ['/no-body', 201]] as const) {
    const response = await get(path)
    t.equal(response.status, status, path)
    t.equal(await response.text(), '', path)
    t.ok((await titles()).includes(path))
  }
})

onEachDatabase('headers, trailers and HEAD are those that Fastify makes', async (t, { orm, titles }) => {
  const { app, get } = await startServer(t, { orm }, app => {
    app.addHook('preHandler', async request => { em().create(Book, { title: `${request.method} ${request.url}` }) })
    app.get('/file', async (_request, reply) => reply.header('content-length', 6).send(Readable.from(['onetwo'])))
    app.get('/zip', async (_request, reply) => reply.header('content-encoding', 'gzip').send(Readable.from(['onetwo']).pipe(createGzip())))
    app.get('/trailer', async (_request, reply) => {
      reply.trailer('x-count', async () => '2')
      return reply.send(ReadableStream.from([Buffer.from('onetwo')]))
    })
    app.get('/response', async () => new Response(ReadableStream.from([Buffer.from('onetwo')]), {
      status: 202, headers: [['content-type', 'text/plain'], ['set-cookie', 'a=1'], ['set-cookie', 'b=2']]
    }))
  })
  t.equal((await get('/file')).headers.get('content-length'), '6')
  const head = await fetch(`${app.listeningOrigin}/file`, { method: 'HEAD' })
  t.strictSame([head.status, await head.text()], [200, ''])
  t.equal(gunzipSync((await app.inject('/zip')).rawPayload).toString(), 'onetwo')
  t.match(await app.inject('/trailer'), { body: 'onetwo', ...waitsForTrailers ? { trailers: { 'x-count': '2' } } : {} })
  const response = await get('/response')
  t.equal(response.status, 202)
  t.match(response.headers.get('content-type'), /^text\/plain/)
  t.strictSame(response.headers.getSetCookie(), ['a=1', 'b=2'])
  t.equal(await response.text(), 'onetwo')
  t.strictSame(await titles(), ['GET /file', 'GET /response', 'GET /trailer', 'GET /zip', 'HEAD /file'])
})

onEachDatabase('a first chunk that is slow to come keeps no transaction open', async (t, { orm, titles, taken }) => {
  const streams: PassThrough[] = []
  const { get } = await startServer(t, { orm }, app => {
    app.get('/', async () => {
      await em().insert(Book, { title: 'Emma' })
      const stream = new PassThrough()
      streams.push(stream)
      return stream
    })
  })
  const response = get('/')
  await until(async () => (await titles()).length === 1 && taken() === 0)
  streams[0]!.end('slow')
  t.equal(await (await response).text(), 'slow')
})

onEachDatabase('a client that leaves while the first chunk is waited for takes back what was written, and ends the stream', async (t, { orm, titles, taken }) => {
  let read = Promise.withResolvers<void>()
  let ended = Promise.withResolvers<void>()
  async function * waiting (left: Promise<unknown>): AsyncGenerator<string> {
    try {
      read.resolve()
      await left
      yield 'late'
    } finally {
      ended.resolve()
    }
  }
  const { app } = await startServer(t, { orm }, app => {
    app.addHook('preHandler', async () => { await em().insert(Book, { title: 'Emma' }) })
    app.get('/node', async (_request, reply) => Readable.from(waiting(once(reply.raw, 'close'))))
    app.get('/web', async () => new ReadableStream({ pull () { read.resolve() }, cancel () { ended.resolve() } }, { highWaterMark: 0 }))
  })
  for (const path of ['/node', '/web']) {
    read = Promise.withResolvers()
    ended = Promise.withResolvers()
    const client = new AbortController()
    const response = fetch(`${app.listeningOrigin}${path}`, { signal: client.signal })
    await read.promise
    client.abort()
    await t.rejects(response)
    await ended.promise
    await until(() => taken() === 0)
    t.strictSame(await titles(), [], path)
  }
})

onEachDatabase('a stream that is not sent, because its request fails, is ended', async (t, { orm, titles }) => {
  const ended: string[] = []
  const stream = (name: string): Readable => new Readable({
    read () {},
    destroy (error, callback) {
      ended.push(name)
      callback(error)
    }
  })
  const { get } = await startServer(t, { orm }, app => {
    const failing = { preHandler: async () => { for (const id of [1, 2]) em().create(Book, { id, title: 'Emma' }) } }
    app.get('/node', failing, async () => stream('node'))
    app.get('/web', failing, async () => new ReadableStream({ cancel () { ended.push('web') } }))
    app.get('/locked', failing, async () => {
      const web = new ReadableStream()
      web.getReader()
      return web
    })
    app.get('/old', failing, async () => Object.assign(new Stream(), { readable: true }))
  })
  for (const path of ['/node', '/web', '/locked', '/old']) t.not((await get(path)).status, 200, path)
  t.strictSame(ended, ['node', 'web'])
  t.strictSame(await titles(), [])
})

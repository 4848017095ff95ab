import websocket from '@fastify/websocket'
import { once } from 'node:events'
import { connect } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { WebSocket } from 'ws'
import { commit, em, runInContext } from '../../index.ts'
import { Book, onEachDatabase, onEachPool } from '../support/databases.ts'
import { isSleeping, untilNone, untilOne } from '../support/server-connections.ts'
import { startServer } from '../support/server.ts'
import { until } from '../support/until.ts'

type Answer = (message: string, closed: AbortSignal) => unknown

/** A route whose socket answers each message, or says the code or the message of the error that it failed with. */
function answering (answer: Answer): (app: FastifyInstance) => void {
  return withSockets(app => {
    app.get('/', { websocket: true }, socket => {
      const closed = new AbortController()
      socket.on('close', () => closed.abort(new Error('the client has left')))
      socket.on('message', async message => {
        try {
          socket.send(String(await answer(String(message), closed.signal)))
        } catch (error: any) {
          socket.send(error.code ?? error.message)
        }
      })
    })
  })
}

function withSockets (routes: (app: FastifyInstance) => void): (app: FastifyInstance) => void {
  return app => {
    app.register(websocket)
    app.register(async app => { routes(app) })
  }
}

async function open (t: Test, app: FastifyInstance, path = '/'): Promise<WebSocket> {
  const socket = new WebSocket(app.listeningOrigin.replace('http', 'ws') + path)
  t.teardown(() => socket.terminate())
  await once(socket, 'open')
  return socket
}

/** Sends one message after the other, each when the one before is answered. */
async function ask (socket: WebSocket, ...messages: string[]): Promise<string[]> {
  const answers: string[] = []
  for (const message of messages) {
    const answered = once(socket, 'message')
    socket.send(message)
    answers.push(String((await answered)[0]))
  }
  return answers
}

/** Sends them all at once. */
async function askAtOnce (socket: WebSocket, messages: string[]): Promise<string[]> {
  const answers: string[] = []
  socket.on('message', answer => { answers.push(String(answer)) })
  for (const message of messages) socket.send(message)
  await until(() => answers.length === messages.length)
  socket.removeAllListeners('message')
  return answers
}

onEachDatabase('each message has a context of its own, and is committed before it is answered', async (t, { orm, titles, taken }) => {
  const managers = new Set<unknown>()
  const { app, log } = await startServer(t, { orm }, answering(async title => {
    await runInContext({ orm: app.orm }, () => {
      managers.add(em())
      em().create(Book, { title })
    })
    return (await titles()).join()
  }))
  const socket = await open(t, app)
  t.strictSame(await ask(socket, 'a', 'b', 'c'), ['a', 'a,b', 'a,b,c'])
  t.equal(managers.size, 3)
  t.equal(taken(), 0)
  t.strictSame(log, [])
})

onEachDatabase('a message that fails takes back its own work, and no other', async (t, { orm, titles, taken }) => {
  const { app } = await startServer(t, { orm }, answering(async title => {
    await runInContext({ orm: app.orm }, async () => {
      em().create(Book, { title })
      if (title !== 'late failure') await em().flush()
      if (title === 'failure') throw new Error('no')
      if (title === 'late failure') em().create(Book, { title: 'a' })
    })
    return 'ok'
  }))
  const socket = await open(t, app)
  const [a, failure, late, b] = await ask(socket, 'a', 'failure', 'late failure', 'b')
  t.strictSame([a, failure, b], ['ok', 'no', 'ok'])
  t.match(late, /UNIQUE|23505|DUP_ENTRY/, 'also one that is noticed by the flush')
  t.strictSame(await titles(), ['a', 'b'])
  t.equal(taken(), 0)
})

onEachDatabase('messages of one socket that come at once stand or fall each by itself', async (t, { orm, titles, taken }) => {
  const { app } = await startServer(t, { orm }, answering(async message => {
    await runInContext({ orm: app.orm }, async () => {
      await em().insert(Book, { title: message })
      await new Promise(resolve => setImmediate(resolve))
      if (Number(message) % 3 === 0) throw new Error('no')
    })
    return 'ok'
  }))
  const numbers = Array.from({ length: 30 }, (_, i) => String(i))
  const answers = await askAtOnce(await open(t, app), numbers)
  t.equal(answers.filter(answer => answer === 'no').length, 10)
  t.equal(answers.filter(answer => answer === 'ok').length, 20)
  t.strictSame(await titles(), numbers.filter(number => Number(number) % 3 !== 0).sort())
  t.equal(taken(), 0)
})

onEachPool('messages in parallel have a connection each, and do not wait for each other', async (t, { orm, titles, taken }) => {
  const both = Promise.withResolvers<void>()
  const { app } = await startServer(t, { orm }, answering(title => runInContext({ orm: app.orm }, async () => {
    await em().insert(Book, { title })
    if (taken() === 2) both.resolve()
    await both.promise
    return 'ok'
  })))
  t.strictSame(await askAtOnce(await open(t, app), ['a', 'b']), ['ok', 'ok'])
  t.strictSame(await titles(), ['a', 'b'])
})

onEachDatabase('without runInContext(), only a message that came with the handshake has the context of the request', async (t, { orm, titles }) => {
  const heard: string[] = []
  const { app } = await startServer(t, { orm }, withSockets(app => {
    app.get('/', { websocket: true }, socket => {
      const ofRequest = em()
      socket.on('message', async data => {
        try {
          heard.push(em() === ofRequest ? 'of the request' : 'another')
        } catch (error: any) {
          heard.push(error.code)
        }
        await runInContext({ orm: app.orm }, () => {
          t.not(em(), ofRequest)
          em().create(Book, { title: String(data) })
        })
      })
    })
  }))
  const { hostname, port } = new URL(app.listeningOrigin)
  const socket = connect(Number(port), hostname)
  t.teardown(() => socket.destroy())
  socket.write(Buffer.concat([Buffer.from(HANDSHAKE), frame('with it')]))
  await until(async () => (await titles()).length === 1)
  socket.write(frame('later'))
  await until(async () => (await titles()).length === 2)
  t.strictSame(heard, ['of the request', 'FST_ORM_NO_CONTEXT'])
})

onEachDatabase('what the handshake has written is rolled back when the socket closes, unless it was committed, and said so', async (t, { orm, titles, taken }) => {
  const { app, log } = await startServer(t, { orm }, withSockets(app => {
    app.get('/committed', { websocket: true }, async socket => {
      em().create(Book, { title: 'committed' })
      await commit()
      socket.send('ready')
    })
    app.get('/shelves/:shelf', { websocket: true }, async socket => {
      await em().insert(Book, { title: 'forgotten' })
      socket.send('ready')
    })
  }))
  for (const path of ['/committed', '/shelves/7']) {
    const socket = new WebSocket(app.listeningOrigin.replace('http', 'ws') + path)
    t.equal(String((await once(socket, 'message'))[0]), 'ready')
    socket.close()
    await once(socket, 'close')
  }
  await until(() => log.length > 0)
  t.match(log, [{ level: 40, msg: /^GET \/shelves\/:shelf: the response has closed, and what was not committed is rolled back\. After reply\.hijack\(\), call commit\(\)/ }])
  await until(() => taken() === 0)
  t.strictSame(await titles(), ['committed'])
})

onEachDatabase('a socket that is open for thousands of messages keeps no connection and no entities', async (t, { orm, taken }) => {
  const kept: WeakRef<object>[] = []
  const { app } = await startServer(t, { orm }, answering(async message => {
    const isWrite = Number(message) % 10 === 0
    await runInContext({ orm: app.orm }, async () => {
      kept.push(new WeakRef(em()))
      if (isWrite) kept.push(new WeakRef(em().create(Book, { title: message })))
      else for (const book of await em().find(Book, {}, { limit: 5 })) kept.push(new WeakRef(book))
    })
    return 'ok'
  }))
  const socket = await open(t, app)
  for (let hundred = 0; hundred < 30; hundred++) {
    await askAtOnce(socket, Array.from({ length: 100 }, (_, i) => String(100 * hundred + i)))
    t.equal(taken(), 0)
  }
  t.ok(kept.length > 6000)
  do {
    await new Promise(resolve => setImmediate(resolve)) // deref() keeps its object until the end of the turn
    gc()
  } while (kept.some(ref => ref.deref() !== undefined))
  t.strictSame(await ask(socket, '1'), ['ok'])
})

onEachDatabase('a message is handled to its end, and committed, when the socket closes in its middle', async (t, { orm, titles, taken }) => {
  const closed = Promise.withResolvers<void>()
  const { app } = await startServer(t, { orm }, answering(async (title, signal) => {
    await runInContext({ orm: app.orm }, async () => {
      await em().insert(Book, { title })
      socket.close()
      await once(signal, 'abort')
    })
    closed.resolve()
  }))
  const socket = await open(t, app)
  socket.send('kept')
  await closed.promise
  t.strictSame(await titles(), ['kept'])
  t.equal(taken(), 0)
})

onEachDatabase('with a signal, it is rolled back when the socket closes', async (t, { orm, titles, taken }) => {
  const ended = Promise.withResolvers<unknown>()
  const late = Promise.withResolvers<unknown>()
  const { app } = await startServer(t, { orm }, answering((title, signal) => runInContext({ orm: app.orm, name: 'message', signal }, async () => {
    await em().insert(Book, { title })
    socket.close()
    await once(signal, 'abort')
    await em().insert(Book, { title: 'late' }).catch(late.resolve)
  }).catch(ended.resolve)))
  const socket = await open(t, app)
  socket.send('lost')
  t.match(await ended.promise, { message: 'the client has left' })
  t.match(await late.promise, { code: 'FST_ORM_CONTEXT_ENDED', message: /^message has ended \(rolledBack\)/ })
  t.strictSame(await titles(), [])
  t.equal(taken(), 0)
})

onEachPool('with a signal, the statement that is running is cancelled', async (t, database) => {
  const { orm, titles, taken, sleep } = database
  const ended = Promise.withResolvers<unknown>()
  const { app } = await startServer(t, { orm }, answering((title, signal) => runInContext({ orm: app.orm, signal }, async () => {
    await em().insert(Book, { title })
    await (em() as any).execute(sleep())
  }).catch(ended.resolve)))
  const socket = await open(t, app)
  socket.send('lost')
  await untilOne(database, isSleeping)
  socket.terminate()
  t.match(await ended.promise, { message: 'the client has left' })
  await untilNone(database, isSleeping)
  t.equal(taken(), 0)
  t.strictSame(await titles(), [])
})

onEachDatabase('app.close() closes open sockets, waits for the message that is being handled, and lets no other begin', async (t, { orm, titles, taken }) => {
  const entered = Promise.withResolvers<void>()
  const leave = Promise.withResolvers<void>()
  const answers: string[] = []
  const routes = withSockets(app => {
    app.get('/', { websocket: true }, async socket => {
      const counted = em().count(Book) // not awaited yet: a message that comes before there is a listener is lost
      socket.on('message', async data => {
        try {
          await runInContext({ orm: app.orm }, async () => {
            await em().insert(Book, { title: String(data) })
            entered.resolve()
            await leave.promise
          })
        } catch (error: any) {
          answers.push(error.code)
          leave.resolve()
        }
      })
      t.equal(await counted, 0)
    })
  })
  const { app } = await startServer(t, { orm }, app => {
    app.addHook('preClose', async () => sockets[1]!.send('late')) // before that of the sockets
    routes(app)
  })
  const sockets = [await open(t, app), await open(t, app)]
  const closed = sockets.map(socket => once(socket, 'close'))
  sockets[0]!.send('begun')
  await entered.promise
  await app.close()
  await Promise.all(closed)
  t.strictSame(answers, ['FST_ORM_CLOSING'])
  t.strictSame(await titles(), ['begun'])
  t.equal(taken(), 0)
})

onEachDatabase('app.close() does not wait for ever for a message', async (t, { orm, titles, taken }) => {
  const entered = Promise.withResolvers<void>()
  const ended = Promise.withResolvers<unknown>()
  const { app } = await startServer(t, { orm, closeTimeout: 200 }, answering(title => runInContext({ orm: app.orm, name: 'message' }, async () => {
    await em().insert(Book, { title })
    entered.resolve()
    await new Promise(() => {})
  }).catch(ended.resolve)))
  const socket = await open(t, app)
  socket.send('lost')
  await entered.promise
  await app.close()
  t.match(await ended.promise, { code: 'FST_ORM_CLOSE_TIMEOUT', message: /^message was still running/ })
  t.strictSame(await titles(), [])
  t.equal(taken(), 0)
})

onEachDatabase('app.close() waits for a client that does not answer no longer than the closeTimeout of the sockets', async (t, { orm, taken }) => {
  const { app } = await startServer(t, { orm }, app => {
    app.register(websocket, { options: { closeTimeout: 200 } as object }) // which @types/ws 8.18.2 does not know
    app.register(async app => {
      app.get('/', { websocket: true }, async socket => { socket.send(String(await em().count(Book))) })
    })
  })
  const { hostname, port } = new URL(app.listeningOrigin)
  const socket = connect(Number(port), hostname)
  t.teardown(() => socket.destroy())
  socket.write(HANDSHAKE)
  await once(socket, 'data')
  const before = performance.now()
  await app.close()
  t.ok(performance.now() - before < 15_000, 'and not for 30 s')
  t.equal(taken(), 0)
})

const HANDSHAKE = [
  'GET / HTTP/1.1', 'Host: localhost', 'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13',
  `Sec-WebSocket-Key: ${btoa('0123456789abcdef')}`, '', ''
].join('\r\n')

/** A text message of a client, as RFC 6455 has it: short, and masked with zeros, which change nothing. */
function frame (text: string): Buffer {
  return Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)])
}

/** Without a flag for the whole process. */
function gc (): void {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
}
